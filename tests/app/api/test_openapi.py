"""The OpenAPI document: valid, complete, and true of the responses."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.openapi.models import OpenAPI
from fastapi.testclient import TestClient

from app.api.batch import MAX_ITEMS
from app.api.openapi import Problem, problem_types
from app.api.openapi_bodies import PIXEL
from app.api.sources import SourceEntryDocument
from app.documents import JobDocument
from app.webhooks.events import ENDPOINT_DISABLED, PING, EventType
from tests.app.images import encoded

REPOSITORY = Path(__file__).parents[3]
_IMAGES = {"image/png", "image/bmp"}
# The media types of the endpoints whose path ends so, instead of JSON.
OTHER_KINDS = {"events": {"text/event-stream"}, "query": _IMAGES, "{k}": _IMAGES}


@pytest.fixture
def document(client: TestClient) -> dict[str, Any]:
    """The document as it is served."""
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


TYPES = {kind.slug: kind for kind in problem_types()}


def walk(node: Any) -> Iterator[dict[str, Any]]:
    """Every object in the document."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


def test_the_document_is_valid_and_closed(document: dict[str, Any]):
    """It has the structure of OpenAPI 3.1, every reference resolves, and no component is unused."""
    OpenAPI.model_validate(document)
    assert document["openapi"].startswith("3.1")
    used = {node["$ref"] for node in walk(document) if isinstance(node.get("$ref"), str)}
    there = {kind: document["components"][kind] for kind in ("schemas", "headers", "examples")}
    assert used == {f"#/components/{kind}/{name}" for kind, named in there.items() for name in named}
    used_schemes = {name for node in walk(document["paths"]) for each in node.get("security", ()) for name in each}
    assert used_schemes == set(document["components"]["securitySchemes"])


def test_every_error_is_documented_as_a_problem(document: dict[str, Any]):
    """With an example of each type, which the schema accepts."""
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if int(status) < 400:
                    kinds = OTHER_KINDS.get(path.rpartition("/")[2], {"application/json"})
                    assert set(answer.get("content", {})) == (set() if status in ("204", "304") else kinds)
                    continue
                content = answer["content"]["application/problem+json"]
                assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
                for slug, reference in content["examples"].items():
                    assert reference == {"$ref": f"#/components/examples/{slug}"}
                    problem = Problem.model_validate(document["components"]["examples"][slug]["value"])
                    assert (problem.type, problem.status) == (TYPES[slug].type_uri(), int(status))
                    assert TYPES[slug].status == int(status)


def test_the_example_of_a_source_is_one(document: dict[str, Any]):
    """With every member, so that none is forgotten when one is added."""
    schema = document["components"]["schemas"]["SourceEntryDocument"]
    answer = document["paths"]["/sources/{source_id}"]["get"]["responses"]["200"]
    example = answer["content"]["application/json"]["example"]
    assert SourceEntryDocument.model_validate(example).lifecycle.state == "deprecated"
    assert example.keys() == schema["properties"].keys()


def test_the_examples_of_jobs_are_jobs(document: dict[str, Any]):
    """Both parse as the document of the responses, and name sources of the catalog."""
    posted = document["paths"]["/attribute"]["post"]["responses"]["202"]
    polled = document["paths"]["/attribute/{job_id}"]["get"]["responses"]["200"]
    for answer, status in ((posted, "queued"), (polled, "succeeded")):
        example = answer["content"]["application/json"]["example"]
        job = JobDocument.model_validate(example)
        assert job.status == status
        assert all((REPOSITORY / "sources" / f"{each.source}.toml").is_file() for each in job.sources)
    assert {"Location", "Retry-After", "ETag", "Vary", "Preference-Applied"} <= set(posted["headers"])


def test_the_exported_document_is_the_one_that_is_served(document: dict[str, Any]):
    """docs/openapi.json is current; if not, run docs/generate_openapi.py."""
    assert json.loads((REPOSITORY / "docs" / "openapi.json").read_text()) == document


def test_the_form_is_documented_as_it_is_read(client: TestClient, document: dict[str, Any]):
    """Each documented field is accepted with a documented value, and an unknown field is refused."""
    body = document["paths"]["/attribute"]["post"]["requestBody"]
    assert body["required"]
    schema = body["content"]["multipart/form-data"]["schema"]
    assert schema["required"] == ["image"]
    assert schema["additionalProperties"] is False
    (of_a_source,) = schema["patternProperties"]
    assert re.fullmatch(of_a_source, "reference[ant]")
    assert schema["patternProperties"][of_a_source]["maxItems"] == 16
    fields = schema["properties"]
    assert set(fields) == {
        "image",
        "sources",
        "exclude",
        "await_references",
        "await_seconds",
        "images_per_source",
        "method",
        "policy",
        "budget",
        "distance",
        "aggregate",
        "external_scores",
        "fusion_weight",
        "prompt",
        "captioner",
        "embedder",
        "seed",
        "budget_usd",
        "local_only",
        "cache",
        "contribute",
        "external_id",
        "metadata",
        "webhook_url",
        "webhook_events",
    }
    assert fields["image"]["format"] == "binary"
    assert (fields["images_per_source"]["minimum"], fields["images_per_source"]["maximum"]) == (1, 16)
    assert fields["seed"]["maximum"] == 2**32 - 1
    assert (fields["await_seconds"]["minimum"], fields["await_seconds"]["maximum"]) == (60, 7 * 24 * 3_600)
    assert fields["prompt"]["maxLength"] == 2_000
    for name, value in (
        ("sources", "ant"),
        ("exclude", "ant"),
        ("await_references", "fox"),
        ("images_per_source", "16"),
        ("prompt", fields["prompt"]["examples"][0]),
        ("captioner", fields["captioner"]["examples"][0]),
        ("embedder", fields["embedder"]["examples"][0]),
        ("budget", "racing"),
        ("seed", "0"),
        ("cache", "false"),
        ("contribute", "false"),
        ("external_id", fields["external_id"]["examples"][0]),
        ("metadata", json.dumps(fields["metadata"]["examples"][0])),
        ("webhook_url", fields["webhook_url"]["examples"][0]),
    ):
        assert client.post("/attribute", files={"image": encoded()}, data={name: value}).status_code == 202


def test_the_json_body_is_documented_as_it_is_read(client: TestClient, document: dict[str, Any]):
    """Its examples are accepted, alone and as a batch; it has the form's options and one more way to give an image."""
    content = document["paths"]["/attribute"]["post"]["requestBody"]["content"]
    schema = content["application/json"]["schema"]
    assert set(schema["properties"]) == {
        *content["multipart/form-data"]["schema"]["properties"],
        "image_url",
        "references",
    }
    assert schema["oneOf"] == [{"required": ["image"]}, {"required": ["image_url"]}]
    for example in content["application/json"]["examples"].values():
        assert client.post("/attribute", json=example["value"]).status_code == 202
    batch = document["paths"]["/attribute/batch"]["post"]["requestBody"]["content"]["application/json"]
    assert (batch["schema"]["properties"]["items"]["maxItems"], MAX_ITEMS) == (100, 100)
    answer = client.post("/attribute/batch", json=batch["example"])
    assert {item["status"] for item in answer.json()["items"]} == {202}


def test_the_headers_of_a_submission_are_documented_with_examples_that_work(
    client: TestClient, document: dict[str, Any]
):
    """Both endpoints that make jobs take Idempotency-Key and Cancel-After."""
    for path, body in (("/attribute", {"image": PIXEL}), ("/attribute/batch", {"items": [{"image": PIXEL}]})):
        parameters = document["paths"][path]["post"]["parameters"]
        headers = {each["name"]: each["example"] for each in parameters if each["name"] != "Prefer"}
        assert set(headers) == {"Idempotency-Key", "Cancel-After"}
        headers["Idempotency-Key"] = headers["Idempotency-Key"].replace("8e", str(len(path)))
        assert client.post(path, json=body, headers=headers).status_code < 300


def test_the_documented_statuses_are_those_of_the_tests(document: dict[str, Any]):
    """Every status that these tests meet, and no other; the last two of POST and 500 come from faults and load."""
    answers = {
        (method.upper(), path): set(operation["responses"]) - {"401", "403", "429"}  # of whatever needs a key
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    assert answers == {
        ("POST", "/attribute"): {"200", "202", "400", "408", "409", "413", "415", "422", "500", "503"},
        ("POST", "/attribute/batch"): {"200", "400", "408", "409", "413", "415", "422", "500", "503"},
        ("GET", "/attribute"): {"200", "422", "500", "503"},
        ("GET", "/attribute/{job_id}"): {"200", "304", "404", "410", "500", "503"},
        ("GET", "/attribute/{job_id}/events"): {"200", "204", "404", "406", "410", "500", "503"},
        ("GET", "/attribute/{job_id}/images/query"): {"200", "304", "404", "410", "500", "503"},
        ("GET", "/attribute/{job_id}/images/{source}/{k}"): {"200", "304", "404", "410", "500", "503"},
        ("POST", "/attribute/{job_id}/feedback"): {"200", "400", "404", "410", "413", "422", "500", "503"},
        ("GET", "/attribute/{job_id}/feedback"): {"200", "404", "410", "500", "503"},
        ("POST", "/attribute/{job_id}/references/{source}"): {
            *("200", "400", "404", "408", "409", "410", "413", "415", "422", "500", "503")
        },
        ("POST", "/attribute/{job_id}/cancel"): {"200", "404", "410", "500", "503"},
        ("DELETE", "/attribute/{job_id}"): {"204", "404", "500", "503"},
        ("POST", "/webhooks"): {"201", "400", "413", "422", "500", "503"},
        ("GET", "/webhooks"): {"200", "500", "503"},
        ("GET", "/webhooks/default/secret"): {"200", "500", "503"},
        ("GET", "/webhooks/{endpoint_id}"): {"200", "404", "500", "503"},
        ("PATCH", "/webhooks/{endpoint_id}"): {"200", "400", "404", "413", "422", "500", "503"},
        ("DELETE", "/webhooks/{endpoint_id}"): {"204", "404", "500", "503"},
        ("GET", "/webhooks/{endpoint_id}/secret"): {"200", "404", "500", "503"},
        ("POST", "/webhooks/{endpoint_id}/rotate"): {"200", "404", "500", "503"},
        ("POST", "/webhooks/{endpoint_id}/ping"): {"202", "404", "409", "500", "503"},
        ("GET", "/webhooks/deliveries"): {"200", "422", "500", "503"},
        ("GET", "/webhooks/deliveries/{delivery_id}"): {"200", "404", "500", "503"},
        ("POST", "/webhooks/deliveries/{delivery_id}/redeliver"): {"202", "404", "409", "500", "503"},
        ("POST", "/screening/hash-lists"): {"200", "201", "400", "408", "413", "415", "422", "500", "503"},
        ("GET", "/screening/hash-lists"): {"200", "500", "503"},
        ("GET", "/screening/hash-lists/{list_id}"): {"200", "404", "500", "503"},
        ("DELETE", "/screening/hash-lists/{list_id}"): {"204", "404", "500", "503"},
        ("POST", "/screening/text-rules"): {"200", "201", "400", "413", "422", "500", "503"},
        ("GET", "/screening/text-rules"): {"200", "500", "503"},
        ("GET", "/screening/text-rules/{rule_id}"): {"200", "404", "500", "503"},
        ("DELETE", "/screening/text-rules/{rule_id}"): {"204", "404", "500", "503"},
        ("POST", "/keys"): {"201", "400", "413", "422", "500", "503"},
        ("GET", "/keys"): {"200", "422", "500", "503"},
        ("GET", "/keys/{key_id}"): {"200", "404", "500", "503"},
        ("DELETE", "/keys/{key_id}"): {"204", "404", "500", "503"},
        ("GET", "/audit"): {"200", "422", "500", "503"},
        ("GET", "/sources"): {"200", "500", "503"},
        ("GET", "/sources/{source_id}"): {"200", "404", "500", "503"},
        ("GET", "/livez"): {"200"},
        ("GET", "/readyz"): {"200", "500", "503"},
        ("GET", "/problems/{slug}"): {"200", "404", "500"},
    }


def test_every_event_is_documented_with_its_payload(document: dict[str, Any]):
    """As OpenAPI's webhooks: an operation per type, with the headers that verify it."""
    assert set(document["webhooks"]) == {*EventType, PING, ENDPOINT_DISABLED}
    for operations in document["webhooks"].values():
        operation = operations["post"]
        assert [parameter["name"] for parameter in operation["parameters"]] == [
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature",
        ]
        assert set(operation["responses"]) == {"204", "410", "default"}
