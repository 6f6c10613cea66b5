"""Measurements of the running service. Each ends with one JSON line of its figures, and exits 1 on a missed bound."""
