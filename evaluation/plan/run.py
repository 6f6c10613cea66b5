"""Does the steps of a plan that are not done: those without a result, or whose inputs are others than it was made of.

Inputs are the command, the datasets it reads and the weights; not the code (`again` is for that). What a step had
done before it was killed is in the store, which answers when the step is done again.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from attribution.errors import ConfigurationError
from evaluation.dataset import ITEMS, MANIFEST
from evaluation.plan.steps import PlanStep
from evaluation.provenance import command, weights
from evaluation.store import MODELS, ROOT, digest, key_of, write

Main = Callable[[Sequence[str]], int]


@dataclass(frozen=True)
class Run:
    """Steps, where their results go, and `extra`, options by command that change no result."""

    steps: Sequence[PlanStep]
    results: Path
    main: Main
    extra: Mapping[str, Sequence[str]]

    def chosen(self, patterns: Sequence[str]) -> list[PlanStep]:
        """Steps that fit a pattern, with all they need. Raises ConfigurationError where a pattern fits none."""
        names = [step.name for step in self.steps]
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise ConfigurationError(f"There is no step {pattern}; there are {', '.join(names)}.")
        wanted = {name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)}
        for step in reversed(self.steps):
            wanted |= set(step.needs) if step.name in wanted else set()
        return [step for step in self.steps if step.name in wanted]

    def do(self, patterns: Sequence[str], again: bool = False) -> list[str]:
        """Does them in order and returns the names of those that failed; what needs a failed one is not tried."""
        failed: list[str] = []
        for step in self.chosen(patterns):
            if missing := [name for name in step.needs if name in failed]:
                print(f"== {step.name}: not tried, for want of {', '.join(missing)}", file=sys.stderr)
                failed.append(step.name)
            elif not again and self.is_done(step):
                print(f"== {step.name}: there", file=sys.stderr)
            elif not self._done(step):
                failed.append(step.name)
        return failed

    def is_done(self, step: PlanStep) -> bool:
        """Whether its result is there and was made of these inputs."""
        if step.makes is not None and not (step.makes / MANIFEST).is_file():
            return False
        try:
            made_of = json.loads(self._out(step).read_text())["made"]["inputs"]
            return bool(made_of == self._inputs(step))
        except (OSError, ValueError, KeyError):  # no result, not of this plan, or no dataset to compare with
            return False

    def _done(self, step: PlanStep) -> bool:
        print(f"== {step.name}", file=sys.stderr)
        out = self._out(step)
        out.unlink(missing_ok=True)
        code = self.main([*step.arguments, *self.extra.get(step.arguments[0], ()), "--out", str(out)])
        if code == 0:  # only now is it done: a kill before this line has the step done again
            document: dict[str, Any] = json.loads(out.read_text())
            document["made"]["inputs"] = self._inputs(step)
            write(out, (json.dumps(document, indent=2) + "\n").encode())
        return code == 0

    def _out(self, step: PlanStep) -> Path:
        return self.results / f"{step.name}.json"

    def _inputs(self, step: PlanStep) -> str:
        made = {other.name: other.makes for other in self.steps if other.makes is not None}
        read = [
            digest(directory / ITEMS) for name in step.needs if (directory := made.get(name)) and step.makes is None
        ]
        catalog = [digest(path) for path in sorted((ROOT / "sources").glob("zoo-*.toml"))]
        return key_of(command(step.arguments), read, weights(MODELS), catalog)
