"""The corpus in tests/evidence: every file has what is read from it beside it, as JSON. `corpus.py` makes them."""

import json
from pathlib import Path

import pytest

from attribution.evidence.finding import documents
from attribution.evidence.read import read
from tests.attribution.evidence.corpus import FILES, FOLDER

CORPUS = sorted(path for path in FOLDER.iterdir() if path.suffix != ".json")


@pytest.mark.parametrize("path", CORPUS, ids=[path.name for path in CORPUS])
def test_a_file_says_what_stands_beside_it(path: Path) -> None:
    """All findings, in their order, with every member."""
    assert documents(read(path.read_bytes())) == json.loads(path.with_name(path.name + ".json").read_text())


def test_files_and_expectations_are_complete() -> None:
    """No file without JSON, no JSON without a file, and every file is one that `corpus.py` makes."""
    assert {path.name for path in CORPUS} == FILES.keys()
    assert {path.name for path in FOLDER.glob("*.json")} == {path.name + ".json" for path in CORPUS}
