"""The Makefile explains itself."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from devstack.state import REPOSITORY


def test_help_names_every_target() -> None:
    """Each public target has its line in `make help`."""
    text = Path(REPOSITORY, "Makefile").read_text().replace("\\\n", " ")
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony
    targets = {name for name in phony[1].split() if not name.startswith("installed-")}
    shown = subprocess.run(["make", "help"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert {match[1] for match in re.finditer(r"^  make ([a-z-]+) ", shown, re.MULTILINE)} == targets
    assert "PIP_ARGS" in shown
