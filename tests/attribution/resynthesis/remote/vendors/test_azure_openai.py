"""What Azure's two routes and its own words need beyond the contract."""

import json
from dataclasses import replace

import pytest

from attribution.errors import KeyRefused, OutputRefused, SourceError
from attribution.ports import GeneratedImage
from attribution.resynthesis.remote.build import build_remote
from attribution.resynthesis.remote.failure import failure
from attribution.resynthesis.remote.http_client import HttpClient
from attribution.resynthesis.remote.vendor import ImageRequest
from attribution.resynthesis.remote.vendors.azure_openai import AzureOpenAi
from attribution.resynthesis.remote.web import HttpResponse
from stub_vendors import Stub
from tests.attribution.resynthesis.remote.contracts.azure_openai import CONTRACT
from tests.attribution.resynthesis.remote.generation import RecordingGate, connections, generate, source_of


def said(status: int, **error: object) -> SourceError:
    """The error of a response."""
    return failure(AzureOpenAi("d"), HttpResponse(status, {}, json.dumps({"error": error}).encode()))


def test_the_route_with_the_deployment_in_its_path(stub: Stub, client: HttpClient) -> None:
    """With an API version the older route is used, and the tenant is sent as the user."""
    source = source_of(
        CONTRACT, stub, {"api_version": "2025-04-01-preview", "base_url": stub.base_url("azure_openai", "/openai")}
    )
    result = generate(
        build_remote(source, connections(client, {"azure_openai": "stub-key-of-azure_openai"})), RecordingGate()
    )
    assert isinstance(result, GeneratedImage)
    assert stub.counts("azure_openai")["safety_identifiers"] == ["tenant-hash"]


def test_the_deployment_is_named_once() -> None:
    """The deployment's name is in the path or in the body, escaped."""
    request = AzureOpenAi("a/../b", {"api_version": "2025-04-01"}).submit_request(ImageRequest("hat"))
    assert request.to == "deployments/a%2F..%2Fb/images/generations?api-version=2025-04-01"
    assert json.loads(request.body) == {"prompt": "hat", "n": 1}
    request = AzureOpenAi("a").submit_request(ImageRequest("hat"))
    assert (request.to, json.loads(request.body)["model"]) == ("images/generations", "a")


def test_a_blocked_resource_is_no_wrong_key() -> None:
    """A blocked resource is a permanent error with its cause."""
    error = said(403, code="403", message="Your resource has been temporarily blocked because we detected behavior")
    assert isinstance(error, KeyRefused)
    assert "blocked" in str(error)


def test_where_the_filter_says_it() -> None:
    """The filter's code is found in the error, in its inner error, and in the place of the image."""
    assert said(400, code="content_filter", message="filtered").state == "refused_prompt"
    assert said(400, code=None, inner_error={"code": "ResponsibleAIPolicyViolation"}).state == "refused_prompt"
    assert said(400, code="moderation_blocked", moderation_details={"moderation_stage": "output"}).state == (
        "refused_output"
    )
    results = {"violence": {"filtered": True}, "profanity": None}
    response = HttpResponse(200, {}, json.dumps({"data": [{"content_filter_results": results}]}).encode())
    with pytest.raises(OutputRefused):
        AzureOpenAi("d").parse_response(response)


def test_the_resources_own_key_needs_no_second_mention(stub: Stub, client: HttpClient) -> None:
    """The default key is sent to the operator's base URL, because there is no other."""
    source = source_of(CONTRACT, stub)
    own = {name: value for name, value in source.parameters.items() if name != "key"}
    generator = build_remote(
        replace(source, parameters=own), connections(client, {"azure_openai": "stub-key-of-azure_openai"})
    )
    assert isinstance(generate(generator, RecordingGate()), GeneratedImage)
