"""Datasets, evaluation and calibration of the method, by the papers' procedure: `python -m evaluation --help`."""
