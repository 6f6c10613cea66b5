"""The report: one HTML page and its figures, of whatever has been measured."""
