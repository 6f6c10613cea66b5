"""Who may do what: scopes, keys, limits, and the log of who did it."""
