"""The hash of a model's weights: the revision in the catalog, in results and in calibrations.

`python -m attribution.weights DIRECTORY…` prints it for a catalog entry.
"""

import sys
from collections.abc import Iterator
from hashlib import file_digest, sha256
from pathlib import Path

_PREFIX = "sha256:"
_DIGITS = 16
# What a model must answer, kept beside it; see `known_answers`. It is a test of the model and no part of it: revisions,
# on which thresholds stand, are the same with and without.
KNOWN_ANSWERS = "known_answers.json"


def digest_of_file(path: Path) -> str:
    """ "sha256:" and the first 16 hex digits over one weight file."""
    with path.open("rb") as file:
        return _PREFIX + file_digest(file, "sha256").hexdigest()[:_DIGITS]


def digest_of_directory(directory: Path) -> str:
    """The same over a whole pipeline: the names and contents of all files, in the order of their names.

    It includes the configuration, because another scheduler generates other images, but no model cards, hidden files
    or known answers.
    """
    whole = sha256()
    for path in sorted(_files(directory), key=lambda p: p.relative_to(directory).as_posix()):
        with path.open("rb") as file:
            content = file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.relative_to(directory).as_posix()}\n{content}\n".encode())
    return _PREFIX + whole.hexdigest()[:_DIGITS]


def matches(revision: str, directory: Path) -> bool:
    """Whether a revision "sha256:…", of 16 digits or more, is that of the directory."""
    return len(revision) >= len(_PREFIX) + _DIGITS and revision.startswith(digest_of_directory(directory))


def _files(directory: Path) -> Iterator[Path]:
    for path in directory.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(directory).parts)
        other = path.suffix.lower() == ".md" or path.name == KNOWN_ANSWERS
        if path.is_file() and not hidden and not other:
            yield path


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(digest_of_directory(Path(argument)), argument)
