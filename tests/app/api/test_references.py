"""Reference images, uploaded with the image or while the job waits for them: which are accepted, which are not."""

import asyncio
import base64
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from redis import Redis
from sqlalchemy import func, select, text

from app.db.database import Database
from app.db.models import Blob, BlobReference, Job, JobStatus
from tests.app.api.conftest import call
from tests.app.images import encoded, noise
from tests.app.worker import move

IMAGE = encoded()
ONE, TWO, THREE = (encoded(noise(seed=seed)) for seed in (1, 2, 3))
BLANK = encoded(Image.new("RGB", (64, 64)))
UNKNOWN_JOB = uuid.UUID(int=7)


def base(*files: bytes) -> list[str]:
    """As base64, for JSON."""
    return [base64.b64encode(file).decode() for file in files]


def form(image: bytes = IMAGE, **references: tuple[bytes, ...]) -> list[tuple[str, bytes]]:
    """The files of a form."""
    return [("image", image), *((f"reference[{name}]", file) for name, files in references.items() for file in files)]


def by_id(answer: Any) -> dict[str, Any]:
    """The sources of a job."""
    assert answer.status_code in (200, 202), answer.text
    return {source["source"]: source for source in answer.json()["sources"]}


def nothing_is_kept(database: Database, folder: Path) -> bool:
    """Neither a job, nor a referenced blob, nor a file."""
    with database.transaction() as session:
        counted = [session.scalar(select(func.count()).select_from(table)) for table in (Job, BlobReference)]
        counted.append(session.scalar(select(func.count()).select_from(Blob).where(Blob.deleted_at.is_(None))))
    return counted == [0, 0, 0] and not [file for file in (folder / "blobs").rglob("*") if file.is_file()]


def test_references_are_uploaded_with_the_image(client: TestClient):
    """Their sources are done at once, marked as the caller's; the others are generated."""
    answer = client.post("/attribute", files=form(fox=(ONE, TWO), ant=(THREE,)), data={"prompt": "a goat"})
    sources = by_id(answer)
    assert {name: (source["state"], source["origin"]) for name, source in sources.items()} == {
        "ant": ("done", "reference"),
        "bee": ("pending", "generator"),
        "cat": ("pending", "generator"),
        "elk": ("retired", "generator"),
        "fox": ("done", "reference"),
    }
    fox = sources["fox"]
    assert (fox["revision"], fox["seeds"], fox["reason"]) == ("by-caller", [None, None], None)
    assert fox["completed_at"] == answer.json()["created_at"]
    looked_at = client.get(fox["generated_images"][1])
    assert (looked_at.status_code, looked_at.headers["content-type"]) == (200, "image/bmp")
    assert client.get(answer.headers["location"]).json() == answer.json()


def test_json_is_equivalent_to_a_form(client: TestClient, database: Database):
    """Base64 by source; under one key it is the same request as the form."""
    key = {"Idempotency-Key": "generated-1"}
    first = client.post("/attribute", files=form(fox=(ONE, TWO)), data={"prompt": "a goat"}, headers=key)
    body = {"image": base(IMAGE)[0], "references": {"fox": base(ONE, TWO)}, "prompt": "a goat"}
    second = client.post("/attribute", json=body, headers=key)
    assert (second.headers["idempotency-replayed"], second.content) == ("true", first.content)
    other = body | {"references": {"fox": base(TWO, ONE)}}
    assert client.post("/attribute", json=other, headers=key).json()["type"] == "/problems/idempotency-key-reused"
    assert by_id(client.post("/attribute", json=body))["fox"]["seeds"] == [None, None]
    in_a_batch = client.post("/attribute/batch", json={"items": [body, {"image": base(IMAGE)[0]}]}).json()["items"]
    assert [item["status"] for item in in_a_batch] == [202, 202]
    assert [len(item["job"]["sources"]) for item in in_a_batch] == [5, 5]
    assert [item["job"]["sources"][4]["state"] for item in in_a_batch] == ["done", "no_api"]


@pytest.mark.parametrize("requested", ["", "fox"])
def test_a_job_may_consist_of_references_only(client: TestClient, requested: str):
    """No generator runs: `sources` is empty, or names only sources with references. A disabled source may have some."""
    files = form(fox=(ONE,), dog=(TWO,), elk=(THREE,))
    answer = client.post("/attribute", files=files, data={"prompt": "a goat", "sources": requested})
    assert {name: source["state"] for name, source in by_id(answer).items()} == dict.fromkeys(
        ("dog", "elk", "fox"), "done"
    )


def test_a_job_needs_a_source(client: TestClient):
    """An empty list is an error unless references are uploaded or awaited."""
    answer = client.post("/attribute", json={"image": base(IMAGE)[0], "sources": []})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "#/sources")
    awaiting = {"image": base(IMAGE)[0], "sources": [], "await_references": ["fox"]}
    assert list(by_id(client.post("/attribute", json=awaiting))) == ["fox"]


@pytest.mark.parametrize(
    ("references", "options", "pointer"),
    [
        ({"fox": (ONE,)}, {"prompt": None}, "#/prompt"),
        ({"fox": (ONE,) * 17}, {}, "#/reference%5Bfox%5D"),
        ({"fox": (ONE,)}, {"exclude": "fox"}, "#/reference%5Bfox%5D"),
        ({"fox": (ONE,)}, {"await_references": "fox"}, "#/reference%5Bfox%5D"),
        ({"fox": (ONE, b"words")}, {}, "#/reference%5Bfox%5D/1"),
        ({"fox": (ONE, b"")}, {}, "#/reference%5Bfox%5D/1"),
        ({"fox": (ONE, ONE[:90])}, {}, "#/reference%5Bfox%5D/1"),
        ({"fox": (ONE, BLANK)}, {}, "#/reference%5Bfox%5D/1"),
        ({"fox": (ONE,) * 3, "elk": (ONE,) * 3}, {}, "#/reference%5Belk%5D"),
    ],
)
def test_invalid_references_in_a_form_are_named(
    start: Callable[..., TestClient], database: Database, tmp_path: Path, references: Any, options: Any, pointer: str
):
    """Which one, and why; nothing is accepted, nothing stored."""
    client = start(intake={"max_references": 5 if "elk" in references else 64})
    data = {name: value for name, value in ({"prompt": "a goat"} | options).items() if value is not None}
    answer = client.post("/attribute", files=form(**references), data=data)
    assert answer.status_code in (415, 422), answer.text
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert nothing_is_kept(database, tmp_path)


@pytest.mark.parametrize(
    ("references", "pointer"),
    [
        ({"fox": []}, "#/references/fox"),
        ({"fox": base(ONE) * 17}, "#/references/fox"),
        ({"fox": base(ONE)[0]}, "#/references/fox"),
        ({"fox": [7]}, "#/references/fox/0"),
        ({"fox": [*base(ONE), "not base64!"]}, "#/references/fox/1"),
        ({"fox": base(ONE, b"words")}, "#/references/fox/1"),
        ({"fox": base(BLANK)}, "#/references/fox/0"),
        ({"a/b": []}, "#/references/a~1b"),
        ({name: base(ONE) * 11 for name in ("fox", "elk", "dog", "ant", "bee", "cat")}, "#/references"),
        ([], "#/references"),
        ("fox", "#/references"),
    ],
)
def test_invalid_references_in_json_are_named(
    client: TestClient, database: Database, tmp_path: Path, references: Any, pointer: str
):
    """By source and number."""
    body = {"image": base(IMAGE)[0], "prompt": "a goat", "references": references}
    answer = client.post("/attribute", json=body)
    assert answer.status_code in (415, 422), answer.text
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert nothing_is_kept(database, tmp_path)


def test_a_body_with_thousands_of_images_is_not_unpacked(client: TestClient):
    """A 400: each would be a file."""
    body = {"image": base(IMAGE)[0], "references": {"fox": ["QQ=="] * 2_001}}
    answer = client.post("/attribute", json=body)
    assert problem(answer) == (400, "malformed-request")
    assert "2,000" in answer.json()["detail"]


def test_references_of_unknown_sources_are_refused(client: TestClient):
    """A misspelled source could never be ranked or awaited."""
    for options in ({"references": {"gnu": base(ONE)}, "prompt": "a goat"}, {"await_references": ["gnu"]}):
        answer = client.post("/attribute", json={"image": base(IMAGE)[0]} | options)
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/unknown-source")
        assert "gnu" in answer.json()["detail"]


def test_a_refused_image_leaves_no_references_behind(client: TestClient, database: Database, tmp_path: Path):
    """They were stored before the image was decoded."""
    answer = client.post("/attribute", files=form(b"words", fox=(ONE,)), data={"prompt": "a goat"})
    assert (answer.status_code, answer.json()["type"]) == (415, "/problems/unsupported-image")
    assert nothing_is_kept(database, tmp_path)


@pytest.mark.parametrize("way", ["form", "json"])
def test_references_have_limits_each_and_together(start: Callable[..., TestClient], way: str):
    """413 with the limit; exactly the limit is accepted."""

    def post(client: TestClient) -> Any:
        if way == "form":
            return client.post("/attribute", files=form(fox=(ONE, TWO)), data={"prompt": "a goat"})
        body = {"image": base(IMAGE)[0], "references": {"fox": base(ONE, TWO)}, "prompt": "a goat"}
        return client.post("/attribute", json=body)

    together, each = len(ONE) + len(TWO), max(map(len, (IMAGE, ONE, TWO)))
    assert post(start(intake={"max_bytes": each, "max_reference_bytes": together})).status_code == 202
    answer = post(start(intake={"max_reference_bytes": together - 1}))
    assert (answer.status_code, answer.json()["max_bytes"]) == (413, together - 1)
    answer = post(start(intake={"max_bytes": each - 1}))
    assert (answer.status_code, answer.json()["max_bytes"]) == (413, each - 1)


def test_awaited_sources_are_shown(client: TestClient):
    """They are not generated, and the job has an upload URL for them; it has a day, or as long as its caller says."""
    answer = client.post("/attribute", files={"image": IMAGE}, data={"await_references": "fox,ant"})
    sources = by_id(answer)
    for name in ("ant", "fox"):
        assert (sources[name]["state"], sources[name]["origin"]) == ("awaiting_reference", "reference")
        assert sources[name]["reason"].endswith(".")
        assert sources[name]["references"] == f"/attribute/{answer.json()['id']}/references/{name}"
    assert (sources["bee"]["state"], sources["bee"]["references"]) == ("pending", None)
    assert lifetime(answer) == timedelta(days=1)
    soon = client.post("/attribute", files={"image": IMAGE}, data={"await_references": "fox", "await_seconds": "7200"})
    assert lifetime(soon) == timedelta(hours=2)
    assert lifetime(client.post("/attribute", files={"image": IMAGE})) == timedelta(minutes=15)


def lifetime(answer: Any) -> timedelta:
    """The time until a job's deadline."""
    return datetime.fromisoformat(answer.json()["deadline_at"]) - datetime.fromisoformat(answer.json()["created_at"])


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"await_seconds": "3600"}, "#/await_seconds"),
        ({"await_references": "fox", "await_seconds": "59"}, "#/await_seconds"),
        ({"await_references": "fox", "await_seconds": str(7 * 86_400 + 1)}, "#/await_seconds"),
        ({"await_references": "fox", "await_seconds": "1h"}, "#/await_seconds"),
        ({"await_references": "fox", "exclude": "fox"}, "#/await_references"),
    ],
)
def test_invalid_options_of_awaiting_are_named(client: TestClient, options: dict[str, str], pointer: str):
    """It needs a source to await, and at most a week."""
    answer = client.post("/attribute", files={"image": IMAGE}, data=options)
    assert (answer.status_code, [error["pointer"] for error in answer.json()["errors"]]) == (422, [pointer])


@pytest.fixture
def waiting(client: TestClient, database: Database) -> str:
    """The path of a job that has a caption and awaits reference images of `fox`, among others."""
    answer = client.post("/attribute", files={"image": IMAGE}, data={"await_references": "fox,dog"})
    move(database, uuid.UUID(answer.json()["id"]), "resynthesizing")
    with database.transaction() as session:
        session.execute(text("UPDATE jobs SET caption = 'a goat'"))
    client.app_state["snapshots"]._redis.flushall()
    return answer.headers["location"]


def upload(client: TestClient, job: str, *files: bytes, source: str = "fox") -> Any:
    """Uploads reference images in a form."""
    return client.post(f"{job}/references/{source}", files=[("reference", file) for file in files])


def problem(answer: Any) -> tuple[int, str]:
    """The status and the end of the type."""
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")


def test_awaited_references_are_uploaded_for_the_caption(client: TestClient, waiting: str, redis: Redis):
    """A message of its own has them screened; polling shows them at once."""
    assert client.get(waiting).json()["caption"] == "a goat"
    answer = upload(client, waiting, ONE, TWO)
    fox = by_id(answer)["fox"]
    assert (fox["state"], fox["reason"], fox["references"]) == ("pending", None, None)
    assert redis.brpop(["references"], timeout=10) is not None
    assert client.get(waiting).json() == answer.json()
    assert client.get(fox["generated_images"][1]).status_code == 200


def test_awaited_references_can_be_json(client: TestClient, waiting: str):
    """A list of base64, small or so large that a child unpacks it."""
    large = encoded(noise(300, 200))
    assert client.post(f"{waiting}/references/fox", json={"references": base(large, TWO)}).status_code == 200
    assert upload(client, waiting, large, TWO).status_code == 200  # the same
    assert client.post(f"{waiting}/references/dog", json={"references": base(ONE)}).status_code == 200


def test_uploading_the_same_again_changes_nothing(client: TestClient, waiting: str, redis: Redis, database: Database):
    """In any state of the job; other images, or another order, are a 409 and are not stored."""
    first = upload(client, waiting, ONE, TWO)
    assert upload(client, waiting, ONE, TWO).json() == first.json()
    assert upload(client, waiting, THREE, source="dog").status_code == 200
    messages = [redis.brpop(["references"], timeout=10) for _ in ("fox", "dog")]  # in the order they were sent in
    assert None not in messages
    assert redis.llen("references") == 0
    with database.transaction() as session:
        kept = session.scalar(select(func.count()).select_from(Blob).where(Blob.deleted_at.is_(None)))
    other = encoded(noise(seed=4))
    for files in ((ONE,), (TWO, ONE), (ONE, other)):
        assert problem(upload(client, waiting, *files)) == (409, "references-conflict")
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(Blob).where(Blob.deleted_at.is_(None))) == kept
    assert client.post(f"{waiting}/cancel").status_code == 200
    assert upload(client, waiting, ONE, TWO).json()["status"] == JobStatus.CANCELED


def test_references_of_the_submission_can_be_uploaded_again(client: TestClient):
    """As if they had been awaited."""
    job = client.post("/attribute", files=form(fox=(ONE,)), data={"prompt": "a goat"}).headers["location"]
    assert upload(client, job, ONE).status_code == 200
    assert problem(upload(client, job, TWO)) == (409, "references-conflict")


def test_a_source_that_is_not_awaited_refuses_references(client: TestClient, waiting: str):
    """409 for one that is generated, 404 for one that the job does not have."""
    assert problem(upload(client, waiting, ONE, source="bee")) == (409, "references-not-expected")
    for name in ("gnu", "a%00b"):
        assert problem(upload(client, waiting, ONE, source=name)) == (404, "not-found")
    assert problem(upload(client, f"/attribute/{UNKNOWN_JOB}", ONE)) == (404, "not-found")


def test_references_before_the_caption_are_too_early(client: TestClient):
    """With Retry-After; the body is not read."""
    job = client.post("/attribute", files={"image": IMAGE}, data={"await_references": "fox"}).headers["location"]
    answer = client.post(f"{job}/references/fox", content=b"not a form")
    assert problem(answer) == (409, "references-too-early")
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize("swept", [False, True])
def test_references_after_the_deadline_are_too_late(client: TestClient, database: Database, waiting: str, swept: bool):
    """Before and after the sweep has seen it."""
    with database.transaction() as session:
        session.execute(text("UPDATE jobs SET deadline_at = now() - interval '1 ms'"))
        if swept:
            session.execute(text("UPDATE job_sources SET state = 'timeout' WHERE source = 'fox'"))
            session.execute(text("UPDATE jobs SET stage = 'embedding'"))
    assert problem(upload(client, waiting, ONE)) == (409, "references-too-late")


def test_an_ended_job_refuses_references(client: TestClient, database: Database, waiting: str):
    """Canceled, failed and deleted jobs have their own errors; awaited sources are `skipped`."""
    canceled = client.post(f"{waiting}/cancel")
    assert by_id(canceled)["fox"]["state"] == "skipped"
    answer = upload(client, waiting, ONE)
    assert problem(answer) == (409, "references-not-expected")
    assert "canceled" in answer.json()["detail"]
    with database.transaction() as session:
        session.execute(text("UPDATE jobs SET status = 'failed'"))
    assert "failed" in upload(client, waiting, ONE).json()["detail"]
    client.delete(waiting)
    assert problem(upload(client, waiting, ONE)) == (410, "deleted")


@pytest.mark.parametrize(
    ("sent", "status", "pointer"),
    [
        ({"content": b"x", "headers": {"content-type": "image/png"}}, 415, None),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=b"}}, 400, None),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, None),
        ({"files": {"image": ONE}}, 422, "#/image"),
        ({"files": {"reference[fox]": ONE}}, 422, "#/reference%5Bfox%5D"),
        ({"files": {"prompt": (None, "a goat")}}, 422, "#/prompt"),
        ({"files": [("reference", ONE)] * 17}, 422, "#/reference"),
        ({"files": {"reference": b"words"}}, 415, "#/reference/0"),
        ({"files": {"reference": BLANK}}, 422, "#/reference/0"),
        ({"json": []}, 422, "#"),
        ({"json": {}}, 422, "#/references"),
        ({"json": {"references": base(ONE), "prompt": "a goat"}}, 422, "#/prompt"),
        ({"json": {"references": {"fox": base(ONE)}}}, 422, "#/references"),
        ({"json": {"references": ["?"]}}, 422, "#/references/0"),
    ],
)
def test_invalid_uploads_of_references_are_named(
    client: TestClient, waiting: str, sent: dict[str, Any], status: int, pointer: str | None
):
    """And the job still waits."""
    answer = client.post(f"{waiting}/references/fox", **sent)
    assert answer.status_code == status, answer.text
    assert pointer is None or pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert by_id(client.get(waiting))["fox"]["state"] == "awaiting_reference"


def test_awaited_references_have_the_same_limits(start: Callable[..., TestClient], client: TestClient, waiting: str):
    """413, and 503 without a free upload slot."""
    small = start(intake={"max_reference_bytes": len(ONE)})
    assert problem(upload(small, waiting, ONE, TWO)) == (413, "upload-too-large")
    announced = {"content-type": "multipart/form-data; boundary=b", "content-length": "99999999999"}
    assert client.post(f"{waiting}/references/fox", content=b"", headers=announced).status_code == 413
    narrow = start(intake={"concurrent_uploads": 1})
    with narrow.app_state["upload_slots"].take(uuid.uuid4()):
        assert problem(upload(narrow, waiting, ONE)) == (503, "overloaded")


def test_a_body_that_does_not_arrive_times_out(start: Callable[..., TestClient], waiting: str, key: str):
    """408, as for an image."""
    client = start(intake={"upload_timeout": timedelta(milliseconds=100)})
    sent: list[dict[str, Any]] = []

    async def silent() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    scope = {
        "type": "http",
        "method": "POST",
        "path": f"{waiting}/references/fox",
        "raw_path": f"{waiting}/references/fox".encode(),
        "query_string": b"",
        "headers": [
            (b"content-type", b"multipart/form-data; boundary=b"),
            (b"authorization", f"Bearer {key}".encode()),
        ],
        "state": dict(client.app_state),
    }
    call(client, scope, silent, send)
    assert sent[0]["status"] == 408


@pytest.mark.parametrize("same", [True, False])
def test_of_two_concurrent_uploads_one_is_stored(client: TestClient, database: Database, waiting: str, same: bool):
    """Both succeed with the same images; otherwise exactly one does, and the other one's images are not stored."""
    for source in ("fox", "dog"):
        start = Barrier(2)

        def race(file: bytes, source: str = source, start: Barrier = start) -> Any:
            start.wait()
            return upload(client, waiting, file, source=source)

        with ThreadPoolExecutor(2) as callers:
            answers = list(callers.map(race, (ONE, ONE if same else TWO)))
        assert sorted(answer.status_code for answer in answers) == ([200, 200] if same else [200, 409])
        won = next(answer for answer in answers if answer.status_code == 200)
        assert client.get(by_id(won)[source]["generated_images"][0]).status_code == 200
    with database.transaction() as session:
        used = session.scalars(select(BlobReference.sha256).distinct()).all()
        assert set(session.scalars(select(Blob.sha256).where(Blob.deleted_at.is_(None)))) == set(used)
