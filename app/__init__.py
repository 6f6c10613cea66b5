"""ACCEPT: the HTTP service, and what it shares with the workers. Never imports torch (a contract proves it)."""
