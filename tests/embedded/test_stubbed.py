"""The catalogue of stubs: shipped files with another name, address and key, and the vendors' real keys out of reach."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from attribution.build import Placement, build_generator
from attribution.catalogue import load_catalogue
from attribution.errors import SourceError
from attribution.ports import Deadline
from attribution.resynthesise.remote.client import Client
from attribution.resynthesise.remote.keys import from_environment
from attribution.resynthesise.remote.outside import Outside
from embedded.stubbed import BEHAVIOURS, SOURCES, YOURS, stub_of, write_catalogue
from stub_vendors import Stub, serve

TODAY = date(2026, 11, 27)


@pytest.fixture
def stub() -> Stub:  # type: ignore[misc]
    """A server."""
    with serve() as stub:
        yield stub


def test_the_catalogue_is_zoo_stubs_and_yours(stub: Stub, tmp_path: Path) -> None:
    """Nothing else, stubs enabled and called stubs, with prices and limits of the shipped files."""
    stubbed = write_catalogue(tmp_path, stub)
    assert json.loads(stubbed.environment["CATALOGUE__DIRECTORIES"]) == [str(stubbed.directory)]
    catalogue = load_catalogue([stubbed.directory])
    zoo = {file.stem for file in SOURCES.glob("zoo-*.toml")}
    assert {source.id for source in catalogue.sources} == zoo | {stub_of(name) for name in BEHAVIOURS} | {YOURS}
    for name in BEHAVIOURS:
        source, shipped = catalogue.get(stub_of(name)), load_catalogue([SOURCES]).get(name)
        assert (source.enabled, source.name) == (True, f"Stub of {shipped.name}")
        assert (source.price_usd, source.limits, source.model) == (shipped.price_usd, shipped.limits, shipped.model)
        assert str(source.parameters["base_url"]).startswith(stub.url)
    yours = catalogue.get(YOURS)
    assert (yours.enabled, yours.obstacle(TODAY) is None) == (False, False)
    assert all((directory := catalogue.get(name).directory) and directory.is_dir() for name in zoo)


def test_each_stub_does_what_it_was_told(stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the environment's keys alone: those of real vendors, which may be there, too, are not even read."""
    stubbed = write_catalogue(tmp_path, stub)
    for name, value in stubbed.environment.items():
        monkeypatch.setenv(name, value)
    asked: list[str] = []

    def secrets(name: str) -> str | None:
        asked.append(name)
        return from_environment(name)

    client = Client()
    states = {}
    for name in BEHAVIOURS:
        source = load_catalogue([stubbed.directory]).get(stub_of(name))
        generator = build_generator(source, Placement(), Outside(client, client.fetch, secrets))
        try:
            generator.draw("a hat", [1], Deadline.after(30))
            states[name] = "done"
        except SourceError as error:
            states[name] = error.state
    client.close()
    told = {name: behaviour.get("scenario", "done") for name, behaviour in BEHAVIOURS.items()}
    assert states == {**told, "sdxl-huggingface": "unavailable"}
    assert all(name.startswith("stub_") for name in asked)


def test_what_images_cost(stub: Stub, tmp_path: Path) -> None:
    """By vendor, as the catalogue prices them; an unknown price as the settings count it."""
    stubbed = write_catalogue(tmp_path, stub)
    assert stubbed.cost({"bfl": 2, "freepik": 1, "openai": 0}) == pytest.approx(2 * 0.03 + 0.25)
    assert stubbed.environment["SPEND__UNKNOWN_PRICE_USD"] == "0.25"
