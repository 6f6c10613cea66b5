"""The variants of the method side by side, on a dataset or on real images: `python -m evaluation variants --help`."""
