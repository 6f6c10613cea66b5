"""`python -m attribution sources …`: the catalogue looked at, checked, and tried out from the command line."""
