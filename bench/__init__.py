"""Measurements of the running service. Each compares within one run, ends with one JSON line, and exits 1 on a missed bound."""
