"""How a measurement ends: bounds checked one by one, one JSON line, an exit code."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Bound:
    """A figure and what it may at most be."""

    name: str
    value: float
    at_most: float

    @property
    def met(self) -> bool:
        """Whether the figure keeps the bound."""
        return self.value <= self.at_most


def finish(bench: str, figures: Mapping[str, Any], bounds: list[Bound]) -> int:
    """Prints a line per bound and the JSON line; 0 if all are met, else 1."""
    for bound in bounds:
        print(f"{'met   ' if bound.met else 'MISSED'} {bound.name}: {bound.value:.3f} (at most {bound.at_most})")
    met = all(bound.met for bound in bounds)
    print(json.dumps({"bench": bench, **figures, "met": met}))
    return 0 if met else 1
