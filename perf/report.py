"""The end of a measurement: requirements checked one by one, one JSON line, an exit code."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Requirement:
    """A figure with its upper or lower bound."""

    name: str
    value: float
    at_most: float = math.inf
    at_least: float = -math.inf

    @property
    def met(self) -> bool:
        """Whether the figure is within its bounds."""
        return self.at_least <= self.value <= self.at_most

    def __str__(self) -> str:
        wanted = f"at most {self.at_most}" if self.at_most < math.inf else f"at least {self.at_least}"
        return f"{'met   ' if self.met else 'MISSED'} {self.name}: {self.value:.3f} ({wanted})"


def finish(bench: str, figures: Mapping[str, Any], requirements: list[Requirement]) -> None:
    """Prints a line per requirement and the JSON line. Exits 1 unless all are met."""
    for requirement in requirements:
        print(requirement)
    met = all(requirement.met for requirement in requirements)
    print(json.dumps({"bench": bench, **figures, "met": met}))
    if not met:
        raise SystemExit(1)
