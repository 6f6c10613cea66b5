"""Everything that is measured, as data: steps that are commands of this benchmark, and a run of what is missing."""

from benchmark.plan.sizes import FULL, SIZES, SMALL, Real, Size
from benchmark.plan.steps import Step, steps

__all__ = ["FULL", "SIZES", "SMALL", "Real", "Size", "Step", "steps"]
