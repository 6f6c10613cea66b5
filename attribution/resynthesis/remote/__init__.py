"""Sources that somebody else serves over HTTP: what they share; one module per vendor says what differs."""
