"""Where Freepik differs from the rest."""

import json
from dataclasses import replace

from attribution.ports import GeneratedImage
from attribution.resynthesis.remote.build import build_remote
from attribution.resynthesis.remote.http_client import HttpClient
from attribution.resynthesis.remote.vendors.freepik import Freepik
from attribution.resynthesis.remote.web import HttpResponse
from stub_vendors import Stub
from tests.attribution.resynthesis.remote.contracts.freepik import CONTRACT
from tests.attribution.resynthesis.remote.generation import RecordingGate, connections, generate, source_of


def test_a_model_beside_mystic_takes_seeds(stub: Stub, client: HttpClient) -> None:
    """Other models use their own path and have no flags of a filter."""
    contract = replace(CONTRACT, model="flux-pro-v1-1", parameters={"send_seed": True, "prompt_upsampling": False})
    generator = build_remote(source_of(contract, stub), connections(client, {"freepik": "stub-key-of-freepik"}))
    one, again, other = (generate(generator, RecordingGate(), seed) for seed in (5, 5, 6))
    assert isinstance(one, GeneratedImage)
    assert isinstance(again, GeneratedImage)
    assert isinstance(other, GeneratedImage)
    assert one.seed == 5
    assert one.image.tobytes() == again.image.tobytes() != other.image.tobytes()


def test_both_names_of_the_api_get_the_key() -> None:
    """The headers of both names are sent."""
    headers = Freepik.scheme.headers("k", lambda request: HttpResponse(200, {}, b""))
    assert headers == {"x-freepik-api-key": "k", "x-magnific-api-key": "k"}


def test_nothing_generated_is_a_refused_output() -> None:
    """An empty list of addresses has no images, which counts as refused."""
    body = json.dumps({"data": {"task_id": "1", "status": "COMPLETED", "generated": []}}).encode()
    assert Freepik("mystic").parse_response(HttpResponse(200, {}, body)) == []
