"""Logs, metrics and traces of both processes."""
