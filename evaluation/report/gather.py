"""What has been measured: the JSON files of one or several directories, by name."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from attribution.errors import ConfigurationError

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
