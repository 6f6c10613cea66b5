"""Everything that is measured, as data: steps that are commands of this benchmark, and a run of what is missing."""

from evaluation.plan.steps import FULL, SIZES, SMALL, PlanStep, Real, Size, steps

__all__ = ["FULL", "SIZES", "SMALL", "PlanStep", "Real", "Size", "steps"]
