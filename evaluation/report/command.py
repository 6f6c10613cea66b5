"""`python -m evaluation report`: a folder with the page, its figures as PNG, and the results that they tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from attribution.errors import ConfigurationError
from evaluation.report.gather import Results
from evaluation.store import write

PAGE, RESULTS = "index.html", "results"


def command(
    results: Annotated[list[Path], typer.Argument(help="folders of JSON; of files with one name the first counts")],
    out: Annotated[Path, typer.Option(help="a folder; files of an earlier report in it are removed")],
) -> None:
    """Writes one HTML page and its figures, of everything that was measured."""
    sizes = report(results, out)
    print(f"{len(sizes)} files, {sum(sizes) / 2**20:.1f} MiB in {out}; {out / PAGE} is the page")


def report(directories: Sequence[Path], out: Path) -> list[int]:
    """Writes the folder and returns its files' sizes. The page is made of what lies beside it, and of nothing else.

    Raises ConfigurationError where there are no results, or some of another version.
    """
    from evaluation.report.figures.style import render  # matplotlib takes a second to load
    from evaluation.report.page import page, plates, sections

    results = Results.read(directories)
    try:
        found = sections(results)
        images = {plate.name: render(plate.plot) for plate in plates(found)}
    except (KeyError, IndexError, TypeError) as error:
        raise ConfigurationError(
            f"A result is not what this version of the benchmark writes ({error!r}); run its step again."
        ) from error
    files = {f"{name}.png": content for name, content in images.items()}
    files |= {f"{RESULTS}/{name}.json": content for name, content in results.files()}
    files[PAGE] = page(results, found, images).encode()
    for stale in {*out.glob("*.png"), *out.glob(f"{RESULTS}/*.json")} - {out / name for name in files}:
        stale.unlink()
    for name, content in files.items():
        write(out / name, content)
    return [len(content) for content in files.values()]
