"""`python -m evaluation all`: every step of a plan that is not done, and the report.

A step is to do if it has no result, or its inputs are others than the result was made of: the command, the datasets it
reads and the weights; not the code (`again` is for that). What it had done before it was killed is in the store.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from attribution.errors import ConfigurationError
from evaluation import options
from evaluation.dataset import ITEMS, MANIFEST
from evaluation.options import Names
from evaluation.plan.steps import SIZES, PlanStep, Real, steps
from evaluation.provenance import command, weights
from evaluation.store import MODELS, ROOT, STORE, digest, key_of, write

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


_SEVERAL = ("dataset", "captions", "t1")  # commands with the option --processes
_EVERY = Names(("*",))


def add(app: typer.Typer, main: Main) -> None:
    """Adds the command; `main` runs a single step."""

    @app.command("all")
    def _all(
        size: Annotated[Literal["full", "small"], typer.Option()] = "full",
        patterns: Annotated[
            Names, typer.Option("--steps", parser=Names.parse, help="only these, and their inputs; names or patterns")
        ] = _EVERY,
        again: Annotated[bool, typer.Option("--again", help="also steps that are done; the store is kept")] = False,
        list_steps: Annotated[bool, typer.Option("--list", help="list the steps and what is done")] = False,
        work: Annotated[Path | None, typer.Option(help="the directory of datasets and results")] = None,
        store: options.Store = STORE,
        processes: Annotated[int | None, typer.Option(min=1, help="default: one per core; 1 for a GPU")] = None,
        threads: options.Threads = None,
        real: Annotated[Path | None, typer.Option(help="images by real models, MODEL/PROMPT__NUMBER.png")] = None,
        real_embedder: Annotated[str | None, typer.Option(help="a real CLIP, as MODELS__EMBEDDER")] = None,
    ) -> None:
        """Measures everything that is not measured yet, and writes the report."""
        if bool(real) != bool(real_embedder):
            raise ConfigurationError("Real images take both --real FOLDER and --real-embedder EMBEDDER.")
        extent = replace(SIZES[size], work=work or SIZES[size].work)
        planned = steps(extent, Real(real, real_embedder) if real and real_embedder else None)
        common: tuple[str, ...] = () if store == STORE else ("--store", str(store))
        common += ("--threads", str(threads)) if threads else ()
        several = ("--processes", str(processes)) if processes else ()
        extra = {
            kind: (*common, *several) if kind in _SEVERAL else common
            for kind in {step.arguments[0] for step in planned}
        }
        results = extent.work / "results"
        run = Run(planned, results, main, extra)
        if list_steps:
            print("\n".join(_line(run, step) for step in run.chosen(patterns)))
            return
        failed = run.do(patterns, again)
        if patterns == _EVERY and main(["report", str(results), "--out", str(extent.work / "report")]):
            failed.append("report")
        if failed:
            print(f"evaluation: not done: {', '.join(failed)}", file=sys.stderr)
            raise typer.Exit(1)


def _line(plan: Run, step: PlanStep) -> str:
    return f"{'there  ' if plan.is_done(step) else 'to do  '} {step.name:<18} {command(step.arguments)}"
