"""What becomes of pictures on their way: the distortions that attribution is measured under."""

from benchmark.distort.adversary import attack
from benchmark.distort.distortion import Distortion, distort
from benchmark.distort.registry import DISTORTIONS, SAME_PICTURE

__all__ = ["DISTORTIONS", "SAME_PICTURE", "Distortion", "attack", "distort"]
