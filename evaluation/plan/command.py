"""`python -m evaluation all`: every step of a plan that is not done, and the report."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from attribution.errors import ConfigurationError
from evaluation import options
from evaluation.options import Names
from evaluation.plan.run import Run
from evaluation.plan.steps import SIZES, PlanStep, Real, steps
from evaluation.provenance import command
from evaluation.store import STORE

Main = Callable[[Sequence[str]], int]
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
