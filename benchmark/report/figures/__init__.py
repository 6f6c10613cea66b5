"""Figures as one would print them: readable in grey, with intervals, and the same bytes from the same numbers."""
