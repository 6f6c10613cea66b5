"""The catalog's own files, as they ship, at the stub: what they ask for is what their adapters take."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from attribution.build import Placement, build_generator
from attribution.catalog import SeedSupport, Source, load_catalog
from attribution.ports import SourceState
from attribution.resynthesis.remote.http_client import HttpClient
from attribution.resynthesis.remote.vendors import NAMES, vendor_named
from attribution.sources.probe import probe
from stub_vendors import Stub
from tests.attribution.resynthesis.remote.contracts import contracts
from tests.attribution.resynthesis.remote.generation import connections, key_of, leading

TODAY = date(2026, 11, 27)
CATALOG = load_catalog([Path(__file__).parents[4] / "sources"])
SOURCES = [source for source in CATALOG.sources if source.adapter in NAMES and source.obstacle(TODAY) is None]
CONTRACTS = {contract.adapter: contract for contract in contracts()}


def _at(stub: Stub, source: Source) -> Source:
    """The source with the stub's address."""
    return replace(source, parameters={**source.parameters, **leading(CONTRACTS[source.adapter], stub)})


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.id)
def test_a_shipped_source_generates(source: Source, stub: Stub, client: HttpClient) -> None:
    """One image is billed once, at the price of the file."""
    world = connections(client, {source.adapter: key_of(CONTRACTS[source.adapter])})
    response = probe(
        _at(stub, source), lambda each: build_generator(each, Placement(), world), "a red apple", TODAY, timeout=20
    )
    assert (response.state, response.reason) == (SourceState.DONE, None)
    assert response.cost_usd == source.price_usd
    assert stub.billed()[source.adapter] == 1


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.id)
def test_a_shipped_source_says_of_seeds_what_its_adapter_does(source: Source) -> None:
    """`seed` is `no` exactly for sources that send none: a result must not name an unused seed."""
    options = {name: value for name, value in source.parameters.items() if name not in ("base_url", "key")}
    takes = vendor_named(source.adapter)(source.model, options).seed_limit is not None
    assert (source.seed is not SeedSupport.NO) == takes
