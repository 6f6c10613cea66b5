"""Option types that several commands share."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from evaluation.alike import HELP
from evaluation.store import STORE

EMBEDDER = "open_clip:local-dir:zoo/models/clip"
CLIP = "local-dir:zoo/models/clip"


class Names(tuple[str, ...]):
    """Words separated by commas."""

    @classmethod
    def parse(cls, text: Any) -> "Names":
        """A default value is returned as it is."""
        return text if isinstance(text, cls) else cls(text.split(","))


class Counts(tuple[int, ...]):
    """Positive numbers separated by commas."""

    @classmethod
    def parse(cls, text: Any) -> "Counts":
        """A default value is returned as it is. Raises ValueError for a number below one."""
        found = text if isinstance(text, cls) else cls(int(part) for part in text.split(","))
        if min(found) < 1:
            raise ValueError("numbers must be at least 1")
        return found


def names(about: str) -> Any:
    """An option of names."""
    return typer.Option(parser=Names.parse, metavar="A,B,…", help=about)


def counts(about: str) -> Any:
    """An option of positive numbers."""
    return typer.Option(parser=Counts.parse, metavar="1,2,…", help=about)


Directory = Annotated[Path, typer.Argument(help="a dataset, or a folder of MODEL/PROMPT__NUMBER.png")]
FeatureDirectory = Annotated[Path, typer.Argument(help="a dataset, or a folder of published feature files")]
Alike = Annotated[bool, typer.Option("--alike", help=HELP)]
Embedder = Annotated[str, typer.Option(help="as MODELS__EMBEDDER")]
Distance = Annotated[str, typer.Option(help="between features")]
Distances = Annotated[Names, names("distances between features")]
Sources = Annotated[Names | None, names("only these")]
Sides = Annotated[Names | None, names("train, test, validation; default: all characters")]
Out = Annotated[Path | None, typer.Option(help="JSON; default: printed")]
Store = Annotated[Path, typer.Option(help="the directory of everything expensive")]
Device = Annotated[str, typer.Option(help="of the models: cpu, cuda, …")]
Threads = Annotated[int | None, typer.Option(min=1, help="of each process")]
Processes = Annotated[int, typer.Option(min=1, help="1 for a GPU")]
Catalog = Annotated[list[Path], typer.Option(help="a directory of *.toml; may be repeated")]
ImagesPerSource = Annotated[int, typer.Option(min=1, help="γ")]
CPUS = os.cpu_count() or 1
STORE_DEFAULT = STORE
CATALOG_DEFAULT = [Path("sources")]
