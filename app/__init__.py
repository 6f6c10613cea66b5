"""The HTTP service, and what it shares with the workers. Never imports torch (a contract proves it)."""

__version__ = "0.1.0"
