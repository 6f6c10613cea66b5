"""The catalogue's own files, as they ship, at the stub: what they ask for is what their adapters take."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from attribution.build import Placement, build_generator
from attribution.catalogue import SeedSupport, Source, load_catalogue
from attribution.ports import SourceState
from attribution.resynthesise.remote.client import Client
from attribution.resynthesise.remote.vendors import NAMES
from attribution.sources.probe import probe
from stub_vendors import Stub
from tests.attribution.resynthesise.remote.contracts import contracts
from tests.attribution.resynthesise.remote.drawing import outside

TODAY = date(2026, 11, 27)
CATALOGUE = load_catalogue([Path(__file__).parents[4] / "sources"])
SOURCES = [source for source in CATALOGUE.sources if source.adapter in NAMES and source.obstacle(TODAY) is None]
PATHS = {contract.adapter: contract.path for contract in contracts()}


def _at(stub: Stub, source: Source) -> Source:
    """The same source, served by the stub."""
    there = {"base_url": stub.base_url(source.adapter, PATHS[source.adapter]), "key": source.adapter}
    return replace(source, parameters={**source.parameters, **there})


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.id)
def test_a_shipped_source_draws(source: Source, stub: Stub, client: Client) -> None:
    """One image, billed once, at the price of the file."""
    world = outside(client, {source.adapter: f"stub-key-of-{source.adapter}"})
    answer = probe(
        _at(stub, source), lambda each: build_generator(each, Placement(), world), "a red apple", TODAY, timeout=20
    )
    assert (answer.state, answer.reason) == (SourceState.DONE, None)
    assert answer.cost_usd == source.price_usd
    assert stub.billed()[source.adapter] == 1


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.id)
def test_a_shipped_source_says_of_seeds_what_its_adapter_does(source: Source) -> None:
    """`no` where none is sent, and only there: a result must not name a seed that nobody was given."""
    contract = next(each for each in contracts() if each.adapter == source.adapter)
    takes = "seed" not in contract.not_applicable
    assert (source.seed is not SeedSupport.NO) == takes
