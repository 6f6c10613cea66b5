"""Prints what pyproject.toml asks for, with the named extras: `python requirements.py [EXTRA …]`.

The images install this list and not the package, so that a change of code costs no second download of torch. Standard
library only: it runs before anything is installed.
"""

import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path


def requirements(pyproject: Path, extras: Sequence[str]) -> list[str]:
    """The base dependencies, then each extra's. Raises KeyError for an extra that does not exist."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]


if __name__ == "__main__":
    print("\n".join(requirements(Path("pyproject.toml"), sys.argv[1:])))
