"""`whodrew sources …`: list, check and probe the catalog from the command line."""
