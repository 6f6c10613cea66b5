"""`python -m evaluation report`: a folder with the page, its figures as PNG, and the results that they show."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attribution.errors import ConfigurationError
from evaluation.report.gather import Results
from evaluation.store import write

PAGE, RESULTS = "index.html", "results"


def add(commands: Any) -> None:
    """Adds the command."""
    parser = commands.add_parser("report", help="one HTML page and its figures, of whatever has been measured")
    parser.add_argument("results", type=Path, nargs="+", help="folders of JSON; of two of one name the first counts")
    parser.add_argument("--out", type=Path, required=True, help="a folder; what an earlier report left there goes")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    sizes = report(options.results, options.out)
    print(f"{len(sizes)} files, {sum(sizes) / 2**20:.1f} MiB in {options.out}; {options.out / PAGE} is the page")
    return 0


def report(directories: Sequence[Path], out: Path) -> list[int]:
    """Writes the folder and returns its files' sizes. The page is made of what lies beside it, and of nothing else.

    Raises ConfigurationError where there are no results, or some of another version.
    """
    from evaluation.report.figures.style import picture  # matplotlib takes a second to load
    from evaluation.report.page import page, plates, sections

    results = Results.read(directories)
    try:
        found = sections(results)
        pictures = {plate.name: picture(plate.generate) for plate in plates(found)}
    except (KeyError, IndexError, TypeError) as error:
        raise ConfigurationError(
            f"A result is not what this version of the benchmark writes ({error!r}); run its step again."
        ) from error
    files = {f"{name}.png": content for name, content in pictures.items()}
    files |= {f"{RESULTS}/{name}.json": content for name, content in results.files()}
    files[PAGE] = page(results, found, pictures).encode()
    for stale in {*out.glob("*.png"), *out.glob(f"{RESULTS}/*.json")} - {out / name for name in files}:
        stale.unlink()
    for name, content in files.items():
        write(out / name, content)
    return [len(content) for content in files.values()]
