"""Distances between features, by the name that results and calibrations carry."""

from attribution.distance.registry import DISTANCES, PAIRWISE, distance_named

__all__ = ["DISTANCES", "PAIRWISE", "distance_named"]
