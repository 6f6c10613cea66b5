"""What becomes of images on their way: the distortions that attribution is measured under."""

from evaluation.distort.adversary import attack
from evaluation.distort.distortion import Distortion, distort
from evaluation.distort.registry import DISTORTIONS, SAME_PICTURE

__all__ = ["DISTORTIONS", "SAME_PICTURE", "Distortion", "attack", "distort"]
