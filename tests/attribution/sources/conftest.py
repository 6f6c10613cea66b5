"""Catalogs on disk, entry by entry."""

from collections.abc import Callable
from pathlib import Path

import pytest

ENTRY = """
schema = 1
id = "{id}"
name = "Fake {id}"
enabled = {enabled}
family = "fake"
platform = "{platform}"
model = "fake/{id}"
revision = "{revision}"
license = "none"
memory_mb = 1
adapter = "{adapter}"
{top}
[lifecycle]
{lifecycle}
[parameters]
{parameters}
"""


@pytest.fixture
def add(tmp_path: Path) -> Callable[..., Path]:
    """Writes an entry, `add("a", lifecycle='state = "no_api"')`, and returns the catalog's directory."""
    directory = tmp_path / "sources"
    directory.mkdir()

    def write(name: str, **given: str) -> Path:
        usual = {"enabled": "true", "platform": "local", "revision": "1", "adapter": "fake"}
        values = {"top": "", "lifecycle": "", "parameters": "", **usual, **given}
        (directory / f"{name}.toml").write_text(ENTRY.format(id=name, **values))
        return directory

    return write
