"""Distances between a query and generated images, by the name that results and calibrations carry."""

from attribution.distance.pixelwise import compare_pixels
from attribution.distance.registry import DISTANCES, HYBRIDS, PAIRWISE, PIXELWISE, distance_named

__all__ = ["DISTANCES", "HYBRIDS", "PAIRWISE", "PIXELWISE", "compare_pixels", "distance_named"]
