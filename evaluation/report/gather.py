"""What has been measured: JSON files by name, of the demo models, and of real images by folder."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from attribution.errors import ConfigurationError
from evaluation.report.html import Missing

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Results:
    """Documents by name: that of the step, and of the file without its ending."""

    documents: Mapping[str, Document]

    @classmethod
    def read(cls, directories: Sequence[Path]) -> "Results":
        """Of two files with one name the first directory's counts. Raises ConfigurationError where there is none."""
        found: dict[str, Document] = {}
        for directory in directories:
            for path in sorted(directory.glob("*.json")):
                found.setdefault(path.stem, _document(path))
        if not found:
            places = ", ".join(map(str, directories))
            raise ConfigurationError(f"There are no results in {places}; `python -m evaluation all` makes them.")
        return cls(dict(sorted(found.items())))

    def __getitem__(self, name: str) -> Document:
        return self.documents[name]

    def __contains__(self, name: str) -> bool:
        return name in self.documents

    def fitting(self, pattern: str) -> list[str]:
        """Names that fit, those that end in smaller numbers first."""
        names = [name for name in self.documents if fnmatchcase(name, pattern)]
        return sorted(names, key=lambda name: (len(name), name))

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Every document as a file that `read` finds again."""
        for name, document in self.documents.items():
            yield name, (json.dumps(document, indent=2) + "\n").encode()

    def made(self, name: str) -> Document:
        """How a document was made; empty where that is not noted."""
        found: Document = self.documents[name].get("made", {})
        return found


def _document(path: Path) -> Document:
    try:
        document = json.loads(path.read_text())
    except ValueError as error:
        raise ConfigurationError(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path} is not what a command of the benchmark writes.")
    return document


ZOO = "demo models"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One result of a part, with its title in text and the short one in figures."""

    result: str
    document: Document
    title: str
    short: str

    @property
    def rows(self) -> Sequence[Document]:
        """The rows of the result."""
        found: Sequence[Document] = self.document["rows"]
        return found

    @property
    def real(self) -> bool:
        """Whether these are real images."""
        return self.title != ZOO

    @property
    def heading(self) -> str:
        """The title with a capital."""
        return self.title[0].upper() + self.title[1:]


def measurements(results: Results, part: str) -> list[Measurement]:
    """All results of a part such as "distances", the demo models first."""
    zoo = f"zoo-{part}"
    found = [Measurement(zoo, results[zoo], ZOO, ZOO)] if zoo in results else []
    return found + [_real(name, results[name]) for name in results.fitting(f"real-*-{part}")]


def in_figures(found: Sequence[Measurement]) -> list[Measurement]:
    """Those that figures show. Images as they are stand in tables only: size and format reveal their source."""
    return [each for each in found if not each.real or _about(each.document)["alike"]]


def missing(results: Results, part: str, what: str) -> list[Missing]:
    """The steps without a result: of the demo models, and of real images where no folder has one."""
    lacking = [] if f"zoo-{part}" in results else [Missing(f"zoo-{part}", f"{what}, {ZOO}")]
    if not results.fitting(f"real-*-{part}"):
        lacking.append(Missing(f"real-*-{part}", f"{what}, real images"))
    return lacking


def _about(document: Document) -> Document:
    about: Document = document.get("about", document)
    return about


def _real(name: str, document: Document) -> Measurement:
    about = _about(document)
    folder = str(about["subject"] if "subject" in about else about["dataset"])
    form = "made alike" if about["alike"] else "as they are"
    return Measurement(name, document, f"real images ({folder}, {form})", folder)
