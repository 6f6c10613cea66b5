"""Distances between a query and generated images, by the name that results and calibrations carry."""

from attribution.distance.features import PAIRWISE
from attribution.distance.hybrid import HYBRIDS
from attribution.distance.pixels import PIXELWISE, compare_pixels
from attribution.distance.registry import DISTANCES, distance_named

__all__ = ["DISTANCES", "HYBRIDS", "PAIRWISE", "PIXELWISE", "compare_pixels", "distance_named"]
