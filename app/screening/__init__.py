"""What hash lists and text rules are made of: shared by those who change them (API, command line) and by screening."""
