"""Vertex with a service account, from the key file to the drawing."""

import json

import httpx
import pytest

from attribution.errors import ConfigurationError, KeyRefused
from attribution.ports import Drawing
from attribution.resynthesise.remote.build import build_remote
from attribution.resynthesise.remote.client import Client
from attribution.resynthesise.remote.vendors.vertex import Vertex
from stub_vendors import Stub
from tests.attribution.resynthesise.remote.contracts.vertex import CONTRACT
from tests.attribution.resynthesise.remote.drawing import RecordingGate, draw, outside, source_of


def key_file(stub: Stub) -> str:
    """As it is downloaded: over several lines."""
    return json.dumps(httpx.get(stub.base_url("vertex", "/service-account.json")).json(), indent=2)


def test_a_service_account_draws(stub: Stub, client: Client) -> None:
    """An assertion is signed with its key and traded for a token, which is what Vertex sees."""
    generator = build_remote(source_of(CONTRACT, stub), outside(client, {"vertex": key_file(stub)}))
    assert isinstance(draw(generator, RecordingGate()), Drawing)
    assert isinstance(draw(generator, RecordingGate(), 6), Drawing)
    assert stub.billed()["vertex"] == 2


def test_an_account_of_others_is_refused_before_anything_is_ordered(stub: Stub, client: Client) -> None:
    """The gate is not asked, so nothing is reserved."""
    account = {**json.loads(key_file(stub)), "client_email": "somebody@else.example"}
    gate = RecordingGate()
    result = draw(build_remote(source_of(CONTRACT, stub), outside(client, {"vertex": json.dumps(account)})), gate)
    assert isinstance(result, KeyRefused)
    assert "invalid_grant" in str(result)
    assert (gate.opened, stub.seen("vertex")["orders"]) == ([], 0)


@pytest.mark.parametrize(
    "change", [{"private_key": "no key"}, {"private_key": 7}, {"private_key": None}, {"token_uri": None}]
)
def test_a_file_that_is_none(change: dict[str, object], stub: Stub, client: Client) -> None:
    """The sentence says what is wanted, and quotes nothing."""
    account = {name: value for name, value in {**json.loads(key_file(stub)), **change}.items() if value is not None}
    secret = json.dumps(account)
    result = draw(build_remote(source_of(CONTRACT, stub), outside(client, {"vertex": secret})), RecordingGate())
    assert isinstance(result, KeyRefused)
    assert "service account's JSON file" in str(result)
    assert result.__cause__ is None
    assert "no key" not in str(result)


def test_where_it_is() -> None:
    """A region has its own host; without one it is the global endpoint."""
    assert Vertex("m", {"project": "p"}).base_url == "https://aiplatform.googleapis.com/v1"
    regional = Vertex("m", {"project": "p", "location": "europe-west4"})
    assert regional.base_url == "https://europe-west4-aiplatform.googleapis.com/v1"
    assert regional.path() == "projects/p/locations/europe-west4/publishers/google/models/m:generateContent"


@pytest.mark.parametrize("options", [{}, {"project": "p", "location": "evil.example/"}])
def test_entries_that_lead_nowhere(options: dict[str, str]) -> None:
    """Without a project there is no address; and a location is no way to another host."""
    with pytest.raises(ConfigurationError):
        Vertex("m", options)
