"""`python -m attribution sources …`: the catalog looked at, checked, and tried out from the command line."""
