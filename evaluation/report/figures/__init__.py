"""Figures as one would print them: readable in gray, with intervals, and the same bytes from the same numbers."""
