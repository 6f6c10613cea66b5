"""Which sources a job selects."""

from datetime import date
from pathlib import Path

import pytest

from app.errors import InvalidRequest
from app.intake.selection import select_sources
from attribution.catalog import load_catalog
from attribution.ports import SourceState

TODAY = date(2026, 11, 27)


def test_a_source_on_request_is_selected_where_it_is_named(sources: Path) -> None:
    """Jobs do not select it by default; without `on_request`, naming a disabled source is an error with a reference."""
    with pytest.raises(InvalidRequest, match="`on_request` in /sources"):
        select_sources(load_catalog([sources]), ["dog"], (), TODAY)

    file = sources / "dog.toml"
    file.write_text(file.read_text().replace("enabled = false", "enabled = false\non_request = true"))
    catalog = load_catalog([sources])
    (row,) = select_sources(catalog, ["dog"], (), TODAY)
    assert (row.source, row.state, row.queue) == ("dog", SourceState.PENDING, "local.dog")
    assert "dog" not in [row.source for row in select_sources(catalog, None, (), TODAY)]
    assert "dog" not in [source.id for source in catalog.available(TODAY)]  # what a worker loads when it starts
