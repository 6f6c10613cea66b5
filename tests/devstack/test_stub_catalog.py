"""The catalog of stubs: shipped files with another name, address and key, and the vendors' real keys out of reach."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from attribution.build import Placement, build_generator
from attribution.catalog import load_catalog
from attribution.errors import SourceError
from attribution.ports import Deadline
from attribution.resynthesis.remote.http_client import HttpClient
from attribution.resynthesis.remote.keys import from_environment
from attribution.resynthesis.remote.web import Connections
from devstack.demo_remote import BEHAVIORS, REFERENCE_SOURCE, SOURCES, stub_of, write_catalog
from stub_vendors import Stub, serve

TODAY = date(2026, 11, 27)


@pytest.fixture
def stub() -> Stub:  # type: ignore[misc]
    """A server."""
    with serve() as stub:
        yield stub


def test_the_catalog_is_zoo_stubs_and_reference(stub: Stub, tmp_path: Path) -> None:
    """Nothing else, stubs enabled and called stubs, with prices and limits of the shipped files."""
    stubbed = write_catalog(tmp_path, stub)
    assert json.loads(stubbed.environment["CATALOG__DIRECTORIES"]) == [str(stubbed.directory)]
    catalog = load_catalog([stubbed.directory])
    zoo = {file.stem for file in SOURCES.glob("zoo-*.toml")}
    assert {source.id for source in catalog.sources} == zoo | {stub_of(name) for name in BEHAVIORS} | {REFERENCE_SOURCE}
    for name in BEHAVIORS:
        source, shipped = catalog.get(stub_of(name)), load_catalog([SOURCES]).get(name)
        assert (source.enabled, source.name) == (True, f"Stub of {shipped.name}")
        assert (source.price_usd, source.limits, source.model) == (shipped.price_usd, shipped.limits, shipped.model)
        assert str(source.parameters["base_url"]).startswith(stub.url)
    reference = catalog.get(REFERENCE_SOURCE)
    assert (reference.enabled, reference.obstacle(TODAY) is None) == (False, False)
    assert all((directory := catalog.get(name).directory) and directory.is_dir() for name in zoo)


def test_each_stub_does_what_it_was_scenarios(stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the environment's keys alone: those of real vendors, which may be there, too, are not even read."""
    stubbed = write_catalog(tmp_path, stub)
    for name, value in stubbed.environment.items():
        monkeypatch.setenv(name, value)
    requested: list[str] = []

    def secrets(name: str) -> str | None:
        requested.append(name)
        return from_environment(name)

    client = HttpClient()
    states = {}
    for name in BEHAVIORS:
        source = load_catalog([stubbed.directory]).get(stub_of(name))
        generator = build_generator(source, Placement(), Connections(client, client.fetch, secrets))
        try:
            generator.generate("a hat", [1], Deadline.after(30))
            states[name] = "done"
        except SourceError as error:
            states[name] = error.state
    client.close()
    scenarios = {name: behavior.get("scenario", "done") for name, behavior in BEHAVIORS.items()}
    assert states == {**scenarios, "sdxl-huggingface": "unavailable"}
    assert all(name.startswith("stub_") for name in requested)


def test_what_images_cost(stub: Stub, tmp_path: Path) -> None:
    """By vendor, as the catalog prices them; an unknown price as the settings count it."""
    stubbed = write_catalog(tmp_path, stub)
    assert stubbed.cost({"bfl": 2, "freepik": 1, "openai": 0}) == pytest.approx(2 * 0.03 + 0.25)
    assert stubbed.environment["SPEND__UNKNOWN_PRICE_USD"] == "0.25"
