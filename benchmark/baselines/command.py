"""`python -m benchmark t1 …`: one table for each number of classes, as Markdown on the terminal and as JSON."""

import argparse
import platform
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from attribution.errors import ConfigurationError
from benchmark.features import Features

Write = Callable[[Path | None, dict[str, Any]], None]


def add(
    commands: Any, measured: Callable[[argparse.ArgumentParser], None], read: Callable[..., Features], write: Write
) -> None:
    """Adds the command; `measured` adds what all have that read features, and `read` reads them."""
    numbers = lambda text: [int(part) for part in text.split(",")]  # noqa: E731
    command = commands.add_parser("t1", help="accuracy of trained baselines against their shots per class")
    measured(command)
    command.add_argument("--classes", type=numbers, help="how many of the sources, from the first; default: all")
    command.add_argument("--shots", type=numbers, default=[1, 2, 3, 5, 8, 10, 20, 40, 80])
    command.add_argument("--repeats", type=int, default=5, help="splits along the character")
    command.set_defaults(run=partial(_run, read, write), candidates=None)


def _run(read: Callable[..., Features], write: Write, options: argparse.Namespace) -> int:
    from benchmark.baselines.t1 import t1  # scikit-learn takes a second to load

    features = read(options)
    order = options.sources or features.sources
    runs = []
    for count in options.classes or [len(order)]:
        if not 2 <= count <= len(order):
            raise ConfigurationError(f"There are {len(order)} sources; {count} classes cannot be made of them.")
        (distance,) = options.distances or ["cosine"]
        runs.append(t1(features.of(order[:count]), options.shots, options.repeats, distance))
        print(table(runs[-1]), end="\n\n")
    about = {"dataset": options.directory.name, "embedder": features.embedder, "python": platform.python_version()}
    write(options.out, {"about": about, "runs": runs})
    return 0


def table(run: Mapping[str, Any]) -> str:
    """A row for each form, a column for each number of shots; in percent, with half the interval's width."""
    flat, lines = run["resynthesis"], []
    lines.append(f"{len(run['sources'])} classes, chance {100 * run['chance']:.1f} %; resynthesis {_cell(flat)} %\n")
    lines.append("| shots per class | " + " | ".join(map(str, run["shots"])) + " | crosses at |")
    lines.append("|---|" + "---:|" * (len(run["shots"]) + 1))
    for name, curve in run["curves"].items():
        crossing = run["crosses_at"][name]
        cells = [_cell(point) for point in curve]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {'never' if crossing is None else crossing} |")
    return "\n".join(lines)


def _cell(point: Mapping[str, Any]) -> str:
    low, high = point["interval_95"]
    return f"{100 * point['accuracy']:.1f} ± {50 * (high - low):.1f}"
