"""What our adapter asks of Firefly and what the stub answers, against facts of Adobe's own OpenAPI document.

Adobe has no client for Python; its document comes with a package for Node.js whose text is not ours to copy.
"""

import json
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest

from attribution.resynthesis.remote.vendor import ImageRequest
from attribution.resynthesis.remote.vendors.firefly import Firefly
from stub_vendors import Stub

FACTS = json.loads(Path(__file__).with_name("firefly.schema.json").read_text())
OPTIONS = {
    "width": 2048,
    "height": 2048,
    "contentClass": "photo",
    "negativePrompt": "rain",
    "visualIntensity": 6,
    "promptBiasingLocaleCode": "en-US",
}


def hold(document: Any, kind: str) -> None:
    """Against one of the definitions."""
    jsonschema_rs.validate({"$ref": f"#/$defs/{kind}", "$defs": FACTS["$defs"]}, document)


def ask(stub: Stub, body: Any, token: str | None = None) -> httpx.Response:
    """By the route that the document has."""
    form = {
        "grant_type": "client_credentials",
        "client_id": "client-of-ours",
        "client_secret": "stub-key-of-firefly",
        "scope": "openid,firefly_api",
    }
    given = httpx.post(stub.base_url("firefly", "/ims/token/v3"), data=form).json()
    headers = {"authorization": f"Bearer {token or given['access_token']}", "x-api-key": "client-of-ours"}
    return httpx.post(stub.base_url("firefly", "/v3/images/generate"), json=body, headers=headers)


@pytest.mark.parametrize("model", ["image3", "image4_standard"])
@pytest.mark.parametrize("options", [{}, OPTIONS], ids=["plain", "with everything"])
def test_our_requests(model: str, options: dict[str, Any], stub: Stub) -> None:
    """With every option that a source's file may give; and the stub takes what the document takes."""
    body = json.loads(Firefly(model, options).submit_request(ImageRequest("a hat" * 200, 2**31 - 1)).body)
    hold(body, "request")
    assert ask(stub, body).status_code == 200


def test_the_stubs_answer(stub: Stub) -> None:
    """Its members are the document's."""
    hold(ask(stub, {"prompt": "a hat", "seeds": [7]}).json(), "result")
    flagged = ask(stub, {"prompt": "a hat [denied]"}).json()
    hold(flagged, "result")
    assert flagged["promptHasDeniedWords"] is True


@pytest.mark.parametrize(
    ("scenario", "status", "code"),
    [
        ("refused_prompt", 422, "prompt_unsafe"),
        ("refused_output", 422, "output_media_unsafe"),
        ("server_error", 500, "runtime_error"),
    ],
)
def test_the_stubs_errors(scenario: str, status: int, code: str, stub: Stub) -> None:
    """Of those that the document has; too many requests and a wrong token are not among them."""
    stub.behave("firefly", scenario=scenario)
    response = ask(stub, {"prompt": "a hat"})
    hold(response.json(), "error")
    assert (response.status_code, response.json()["error_code"]) == (status, code)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"prompt": "x" * 1_025},
        {"prompt": "a hat", "seeds": [1, 2]},
        {"prompt": "a hat", "size": {"width": 2048}},
        {"prompt": "a hat", "contentClass": "generated_image"},
        {"prompt": "a hat", "model": "image3"},
    ],
)
def test_the_stub_refuses_what_the_document_does_not_have(body: dict[str, Any], stub: Stub) -> None:
    """And says so in the document's words."""
    response = ask(stub, body)
    hold(response.json(), "error")
    assert (response.status_code, response.json()["error_code"]) == (422, "validation_error")
