"""Vertex with a service account, from the key file to the generated image."""

import json

import httpx
import pytest

from attribution.errors import KeyRefused
from attribution.ports import GeneratedImage
from attribution.resynthesis.remote.build import build_remote
from attribution.resynthesis.remote.http_client import HttpClient
from stub_vendors import Stub
from tests.attribution.resynthesis.remote.contracts.vertex import CONTRACT
from tests.attribution.resynthesis.remote.generation import RecordingGate, connections, generate, source_of


def key_file(stub: Stub) -> str:
    """A key file with line breaks, as downloaded."""
    return json.dumps(httpx.get(stub.base_url("vertex", "/service-account.json")).json(), indent=2)


def test_a_service_account_generates(stub: Stub, client: HttpClient) -> None:
    """A signed assertion is exchanged for a token, which is sent to Vertex."""
    generator = build_remote(source_of(CONTRACT, stub), connections(client, {"vertex": key_file(stub)}))
    assert isinstance(generate(generator, RecordingGate()), GeneratedImage)
    assert isinstance(generate(generator, RecordingGate(), 6), GeneratedImage)
    assert stub.billed()["vertex"] == 2


def test_an_account_of_others_is_refused_before_anything_is_ordered(stub: Stub, client: HttpClient) -> None:
    """With a wrong account the gate is not opened, so nothing is reserved."""
    account = {**json.loads(key_file(stub)), "client_email": "other@else.example"}
    gate = RecordingGate()
    result = generate(
        build_remote(source_of(CONTRACT, stub), connections(client, {"vertex": json.dumps(account)})), gate
    )
    assert isinstance(result, KeyRefused)
    assert "invalid_grant" in str(result)
    assert (gate.opened, stub.counts("vertex")["orders"]) == ([], 0)


@pytest.mark.parametrize(
    "change", [{"private_key": "no key"}, {"private_key": 7}, {"private_key": None}, {"token_uri": None}]
)
def test_a_file_that_is_none(change: dict[str, object], stub: Stub, client: HttpClient) -> None:
    """The sentence says what is wanted, and quotes nothing."""
    account = {name: value for name, value in {**json.loads(key_file(stub)), **change}.items() if value is not None}
    secret = json.dumps(account)
    result = generate(build_remote(source_of(CONTRACT, stub), connections(client, {"vertex": secret})), RecordingGate())
    assert isinstance(result, KeyRefused)
    assert "service account's JSON file" in str(result)
    assert result.__cause__ is None
    assert "no key" not in str(result)
