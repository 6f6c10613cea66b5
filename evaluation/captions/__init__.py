"""Captioners side by side, and what a caption's likeness to the true prompt has to do with a right attribution."""
