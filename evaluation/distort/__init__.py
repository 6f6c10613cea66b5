"""Distortions of queries, as images suffer them in distribution."""

from evaluation.distort.adversary import attack
from evaluation.distort.distortion import Distortion, distort
from evaluation.distort.registry import DISTORTIONS, SAME_IMAGE

__all__ = ["DISTORTIONS", "SAME_IMAGE", "Distortion", "attack", "distort"]
