"""Where a command's figures go: a JSON file that says how it was made, or the terminal."""

import json
from pathlib import Path
from typing import Any

from evaluation.provenance import made
from evaluation.store import write


def save(path: Path | None, document: dict[str, Any]) -> None:
    """Writes the document with its origin; without a path it is printed as it is."""
    save_plain(path, document if path is None else document | {"made": made()})


def save_plain(path: Path | None, document: dict[str, Any]) -> None:
    """Writes the document alone, whole or not at all: one that is the same whenever it is made."""
    if path is None:
        print(json.dumps(document))
    else:
        write(path, (json.dumps(document, indent=2) + "\n").encode())
        print(f"written to {path}")
