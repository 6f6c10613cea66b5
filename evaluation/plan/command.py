"""`python -m evaluation all`: every step of a plan that is not done yet, and the report."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from attribution.errors import ConfigurationError
from evaluation.paths import STORE
from evaluation.plan.run import Run
from evaluation.plan.sizes import SIZES, Real
from evaluation.plan.steps import PlanStep, steps
from evaluation.provenance import command

Main = Callable[[Sequence[str]], int]
_SEVERAL = ("dataset", "captions", "t1")  # what takes several processes


def add(commands: Any, main: Main) -> None:
    """Adds the command; `main` runs a single step."""
    names = partial(str.split, sep=",")
    parser = commands.add_parser("all", help="everything that is not measured yet, and the report")
    parser.add_argument("--size", choices=list(SIZES), default="full")
    parser.add_argument("--steps", type=names, default=["*"], help="only these, and what they need; names or patterns")
    parser.add_argument("--again", action="store_true", help="also what is there; what is in the store stays there")
    parser.add_argument("--list", action="store_true", help="say what there is to do, and do nothing")
    parser.add_argument("--work", type=Path, help="where datasets and results lie")
    parser.add_argument("--store", type=Path, default=STORE, help="where everything expensive is kept")
    parser.add_argument("--processes", type=int, help="that generate or train; default: one per core; 1 for a GPU")
    parser.add_argument("--threads", type=int, help="of each process; 1 where other work is done meanwhile")
    parser.add_argument("--real", type=Path, help="a folder of images by real models, MODEL/PROMPT__NUMBER.png")
    parser.add_argument("--real-embedder", help="a real CLIP, as embedders have it")
    parser.set_defaults(run=partial(_run, main))


def _run(main: Main, options: argparse.Namespace) -> int:
    if bool(options.real) != bool(options.real_embedder):
        raise ConfigurationError("Real images take both --real FOLDER and --real-embedder EMBEDDER.")
    size = SIZES[options.size]
    size = replace(size, work=options.work or size.work)
    real = Real(options.real, options.real_embedder) if options.real else None
    results = size.work / "results"
    common: tuple[str, ...] = () if options.store == STORE else ("--store", str(options.store))
    common += ("--threads", str(options.threads)) if options.threads else ()
    processes = ("--processes", str(options.processes)) if options.processes else ()
    extra = {
        kind: (*common, *processes) if kind in _SEVERAL else common
        for kind in {step.arguments[0] for step in steps(size, real)}
    }
    plan = Run(steps(size, real), results, main, extra)
    if options.list:
        print("\n".join(_line(plan, step) for step in plan.chosen(options.steps)))
        return 0
    failed = plan.do(options.steps, options.again)
    if options.steps == ["*"] and main(["report", str(results), "--out", str(size.work / "report")]):
        failed.append("report")
    if failed:
        print(f"evaluation: not done: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _line(plan: Run, step: PlanStep) -> str:
    return f"{'there  ' if plan.is_done(step) else 'to do  '} {step.name:<18} {command(step.arguments)}"
