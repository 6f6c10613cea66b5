"""Distortions of queries, as images suffer them in distribution."""

from evaluation.distort.distortions import DISTORTIONS, SAME_IMAGE, Distortion, distort

__all__ = ["DISTORTIONS", "SAME_IMAGE", "Distortion", "distort"]
