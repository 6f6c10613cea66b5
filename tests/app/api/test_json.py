"""POST /attribute with JSON: an image in base64, or where there is one."""

import base64
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from app.db.database import Database
from app.db.models import Job, Stage
from app.intake.options import MAX_METADATA_BYTES
from tests.app.images import encoded, noise

FILE = encoded()
TEXT = base64.b64encode(FILE).decode()
LARGE = base64.b64encode(encoded(noise(300, 200))).decode()


def row(database: Database, answer: Any) -> Job:
    """The job that was accepted."""
    assert answer.status_code == 202, answer.text
    with database.transaction() as session:
        return session.get_one(Job, uuid.UUID(answer.json()["id"]))


def pointers(answer: Any) -> set[str]:
    """The errors of a refused request."""
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-request"), answer.text
    return {error["pointer"] for error in answer.json()["errors"]}


@pytest.mark.parametrize("text", [TEXT, f"data:image/jpeg;base64,{TEXT}", LARGE])
def test_base64_is_equivalent_to_a_file(client: TestClient, text: str):
    """The same hash, size and format; a child unpacks large ones, and the type in a data: URL is ignored."""
    data = base64.b64decode(text.rpartition(",")[2])
    as_json = client.post("/attribute", json={"image": text})
    as_file = client.post("/attribute", files={"image": data})
    assert as_json.status_code == 202, as_json.text
    assert as_json.json()["image"] == as_file.json()["image"]
    assert as_json.json()["image"]["size"] == len(data)
    assert as_json.headers["location"] == f"/attribute/{as_json.json()['id']}"


def test_a_captioner_is_chosen_in_every_format(start: Callable[..., TestClient], database: Database):
    """An offered one is stored and shown; another one is a problem with the list of all."""
    client = start(models={"captioners": {"other": "fake:"}})
    for answer in (
        client.post("/attribute", json={"image": TEXT, "captioner": "other"}),
        client.post("/attribute", files={"image": FILE}, data={"captioner": "other"}),
    ):
        assert row(database, answer).method_options.captioner == "other"
        assert answer.json()["captioner"] == "other"
    assert [each["name"] for each in client.get("/sources").json()["captioners"]] == ["blip", "other"]
    unknown = client.post("/attribute/batch", json={"items": [{"image": TEXT, "captioner": "vlm"}]})
    problem = unknown.json()["items"][0]["problem"]
    assert (problem["status"], problem["type"], problem["known"]) == (
        422,
        "/problems/unknown-captioner",
        ["blip", "other"],
    )
    assert problem["errors"][0]["pointer"] == "#/captioner"
    both = client.post("/attribute", json={"image": TEXT, "captioner": "other", "prompt": "a goat"})
    assert pointers(both) == {"#/captioner"}


def test_an_embedder_is_chosen_in_every_format(start: Callable[..., TestClient], database: Database):
    """An offered one is stored and shown; another one is a problem with the list of all."""
    client = start(models={"embedder": "onnx", "embedders": {"layer-2": "open_clip#layer=2"}})
    for answer in (
        client.post("/attribute", json={"image": TEXT, "embedder": "layer-2"}),
        client.post("/attribute", files={"image": FILE}, data={"embedder": "layer-2"}),
    ):
        assert row(database, answer).method_options.embedder == answer.json()["embedder"] == "layer-2"
    assert client.get("/sources").json()["embedders"] == ["onnx", "layer-2"]
    unknown = client.post("/attribute/batch", json={"items": [{"image": TEXT, "embedder": "dino"}]})
    problem = unknown.json()["items"][0]["problem"]
    assert (problem["status"], problem["type"], problem["known"]) == (
        422,
        "/problems/unknown-embedder",
        ["onnx", "layer-2"],
    )
    assert problem["errors"][0]["pointer"] == "#/embedder"


def test_options_are_those_of_the_form(client: TestClient, database: Database):
    """Numbers as numbers, lists as lists; external_id and metadata are shown."""
    options = {
        "sources": ["ant", "bee"],
        "exclude": ["bee"],
        "images_per_source": 3,
        "prompt": "a goat",
        "seed": 7,
        "method": "residual",
        "policy": "closed",
        "distance": "hybrid",
        "aggregate": "max",
        "external_scores": {"ant": 0.5, "bee": -1e300},
        "fusion_weight": 0.25,
        "external_id": "upload 4711",
        "metadata": {"queue": "appeals", "nested": [{"é": 1.5}, None]},
    }
    as_json = client.post("/attribute", json={"image": TEXT} | options)
    form = options | {name: json.dumps(options[name]) for name in ("metadata", "external_scores")}
    as_form = client.post("/attribute", files={"image": FILE}, data=form)
    for answer in (as_json, as_form):
        document = answer.json()
        assert [source["source"] for source in document["sources"]] == ["ant"]
        for name in options.keys() - {"sources", "exclude"}:
            assert document[name] == options[name]
        assert client.get(answer.headers["location"]).json() == document


def test_null_means_omitted(client: TestClient):
    """As some clients send omitted options."""
    body = {"image": TEXT, "image_url": None, "prompt": None, "metadata": None, "sources": None}
    assert client.post("/attribute", json=body).status_code == 202


def test_an_address_is_accepted_at_once(client: TestClient, database: Database, messages: Callable[[str], list[Any]]):
    """The API fetches nothing: the job waits for a worker, with the stage `fetching`."""
    answer = client.post("/attribute", json={"image_url": "https://images.example/a.png#top", "images_per_source": 1})
    assert answer.status_code == 202, answer.text
    assert (answer.json()["status"], answer.json()["stage"], answer.json()["image"]) == ("queued", "fetching", None)
    job = row(database, answer)
    assert (job.image_url, job.query_blob, job.stage) == ("https://images.example/a.png", None, Stage.FETCHING)
    assert len(messages("fetch")) == 1
    assert "images.example" not in answer.text


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/a.png",
        "http://[::1]/",
        "http://2130706433/",
        "http://169.254.169.254/latest/meta-data",
        "ftp://images.example/a.png",
        "file:///etc/passwd",
        "https://me:secret@images.example/",
        "images.example/a.png",
        "",
    ],
)
def test_a_private_address_is_refused_at_once(client: TestClient, url: str):
    """With a type of its own and a pointer to the member."""
    answer = client.post("/attribute", json={"image_url": url})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/address-refused"), answer.text
    assert answer.json()["errors"][0]["pointer"] == "#/image_url"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/image"),
        ({"image": None}, "#/image"),
        ({"image": TEXT, "image_url": "https://images.example/"}, "#/image"),
        ({"image": 7}, "#/image"),
        ({"image": [TEXT]}, "#/image"),
        ({"image": "not base64!"}, "#/image"),
        ({"image": TEXT[:-1] + "?"}, "#/image"),
        ({"image": "https://images.example/cat.png"}, "#/image"),
        ({"image": "data:image/png,%89PNG"}, "#/image"),
        ({"image_url": 7}, "#/image_url"),
        ({"image_url": "https://images.example/" + "a" * 5_000}, "#/image_url"),
        ({"image": TEXT, "images_per_source": "4"}, "#/images_per_source"),
        ({"image": TEXT, "images_per_source": True}, "#/images_per_source"),
        ({"image": TEXT, "images_per_source": 4.0}, "#/images_per_source"),
        ({"image": TEXT, "seed": -1}, "#/seed"),
        ({"image": TEXT, "sources": "ant"}, "#/sources"),
        ({"image": TEXT, "sources": [7]}, "#/sources"),
        ({"image": TEXT, "sources": []}, "#/sources"),
        ({"image": TEXT, "exclude": None}, "#/exclude"),
        ({"image": TEXT, "prompt": " "}, "#/prompt"),
        ({"image": TEXT, "external_id": ""}, "#/external_id"),
        ({"image": TEXT, "external_id": "a\tb"}, "#/external_id"),
        ({"image": TEXT, "external_id": "x" * 201}, "#/external_id"),
        ({"image": TEXT, "metadata": "x"}, "#/metadata"),
        ({"image": TEXT, "metadata": []}, "#/metadata"),
        ({"image": TEXT, "metadata": {"a": "x" * MAX_METADATA_BYTES}}, "#/metadata"),
        ({"image": TEXT, "metadata": {"a": [1e300] * 14}}, "#/metadata"),
        ({"image": TEXT, "color": "red"}, "#/color"),
        ({"image": TEXT, "a/b": "red"}, "#/a~1b"),
        ([], "#"),
        (7, "#"),
    ],
)
def test_an_invalid_member_is_named(client: TestClient, database: Database, body: Any, pointer: str):
    """Each is a 422; nothing is accepted."""
    assert pointer in pointers(client.post("/attribute", json=body))
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 0


def test_all_errors_are_listed_at_once(client: TestClient):
    """Errors of the image and of the options."""
    body = {"image": "?", "images_per_source": 0, "prompt": "", "color": 1}
    assert pointers(client.post("/attribute", json=body)) == {"#/image", "#/images_per_source", "#/prompt", "#/color"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe{}",
        b'{"image": "a", "image": "b"}',
        b'{"seed": NaN}',
        b'{"metadata": {"a": "\\u0000"}}',
        b'{"metadata": {"a": "\\ud800"}}',
        b'{"metadata": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b"[" * 16_000,
        b'{"seed": ' + b"9" * 10_000 + b"}",
    ],
)
def test_invalid_json_is_a_400(client: TestClient, body: bytes):
    """Whether the API or a child parses it; the connection stays open."""
    headers = {"content-type": "application/json; charset=utf-8"}
    for padding in (b"", b" " * 100_000):
        answer = client.post("/attribute", content=body + padding, headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed-request"), answer.text
    assert client.post("/attribute", json={"image": TEXT}).status_code == 202


def test_a_body_that_costs_too_much_to_read_is_a_400(start: Callable[..., TestClient]):
    """The child dies, and the next one takes over."""
    client = start(intake={"decode_memory_mb": 260})
    body = b'{"items": [' + b"[]," * 6_000_000 + b"[]]}"
    answer = client.post("/attribute", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed-request"), answer.text
    assert client.post("/attribute", json={"image": LARGE}).status_code == 202


@pytest.mark.parametrize(
    ("data", "status", "slug"),
    [(b"", 422, "undecodable-image"), (b"words", 415, "unsupported-image"), (FILE[:90], 422, "undecodable-image")],
)
def test_an_invalid_image_has_the_error_of_a_file(client: TestClient, data: bytes, status: int, slug: str):
    """The same problems as for a form."""
    answer = client.post("/attribute", json={"image": base64.b64encode(data).decode()})
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}"), answer.text


def test_the_limit_counts_the_image_not_its_base64(start: Callable[..., TestClient]):
    """An image of exactly that size is accepted, also with escaped slashes; one byte more is a 413."""
    fits = start(intake={"max_bytes": len(FILE)})
    escaped = json.dumps({"image": TEXT}).replace("/", "\\/")
    headers = {"content-type": "application/json"}
    assert fits.post("/attribute", content=escaped, headers=headers).status_code == 202
    cap = start(intake={"max_bytes": len(FILE) - 1})
    answer = cap.post("/attribute", json={"image": TEXT})
    assert (answer.status_code, answer.json()["max_bytes"]) == (413, len(FILE) - 1)


def test_a_body_far_above_the_limit_is_not_read(start: Callable[..., TestClient]):
    """The announced length is enough, and an unannounced body is read up to the limit."""
    client = start(intake={"max_bytes": 1_000, "max_reference_bytes": 1_000})
    headers = {"content-type": "application/json"}
    announced = client.post("/attribute", content=b"", headers=headers | {"content-length": "99999999"})
    read = 0

    def endless() -> Any:
        nonlocal read
        while True:
            read += 10_000
            yield b" " * 10_000

    unannounced = client.post("/attribute", content=(next(endless()) for _ in range(100)), headers=headers)
    for answer in (announced, unannounced):
        assert (answer.status_code, answer.json()["type"]) == (413, "/problems/upload-too-large"), answer.text


def test_the_largest_metadata_are_accepted(client: TestClient):
    """To the byte of its compact form, and it is returned unchanged."""
    metadata = {"a": "é" * ((MAX_METADATA_BYTES - 8) // 2)}
    assert len(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode()) == MAX_METADATA_BYTES
    answer = client.post("/attribute", json={"image": TEXT, "metadata": metadata})
    assert answer.json()["metadata"] == metadata


def test_numbers_in_metadata_are_preserved(client: TestClient):
    """However Postgres writes them."""
    metadata = {"a": [0, -0.5, 1e20, 1e-7, 12345678901234567890123, 1.1]}
    answer = client.post("/attribute", json={"image": TEXT, "metadata": metadata})
    assert client.get(answer.headers["location"]).json()["metadata"] == metadata


@pytest.mark.parametrize("text", ["", "{", "[1]", "7", '{"a": NaN}', '{"a": 1, "a": 1}'])
def test_metadata_in_a_form_is_json_of_an_object(client: TestClient, text: str):
    """Anything else is an error with a pointer."""
    answer = client.post("/attribute", files={"image": FILE}, data={"metadata": text})
    assert pointers(answer) == {"#/metadata"}


def test_cancel_after_sets_the_deadline(client: TestClient, database: Database):
    """`Cancel-After` counts from acceptance; without it nothing is set, and nonsense is a 422."""
    answer = client.post("/attribute", json={"image": TEXT}, headers={"Cancel-After": "1h30m"})
    job = row(database, answer)
    assert job.cancel_at is not None
    assert (job.cancel_at - job.created_at).total_seconds() == 5400
    assert row(database, client.post("/attribute", files={"image": FILE})).cancel_at is None
    wrong = client.post("/attribute", json={"image": TEXT}, headers={"Cancel-After": "soon"})
    assert (wrong.status_code, wrong.json()["errors"][0]["parameter"]) == (422, "Cancel-After")
