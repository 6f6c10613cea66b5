"""With Redis unavailable, hanging or empty the API accepts and responds; without Postgres it responds with 503."""

import base64
import random
import resource
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any

import anyio
import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from redis import Redis
from sqlalchemy import event

from app.db.database import Database
from app.db.models import DEFAULT_TENANT, JobStatus, Stage
from app.jobs.repository import get_by_id
from app.jobs.source_repository import list_for_job
from tests.app.api.conftest import call
from tests.app.images import encoded

IMAGE = {"image": encoded()}
_SECOND = timedelta(seconds=1)


@pytest.fixture
def unreachable() -> Iterator[str]:
    """An address that refuses connections."""
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture
def silence() -> Iterator[str]:
    """An address that takes connections and never says a word."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=100)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("kind", ["unreachable", "silence"])
def test_without_redis_a_job_is_accepted_and_waits_in_postgres(
    start: Callable[..., TestClient], database: Database, request: pytest.FixtureRequest, kind: str
):
    """POST answers 202 and GET shows the job; the rows wait for the sweep to hand them on."""
    address = request.getfixturevalue(kind)
    client = start(redis={"url": SecretStr(f"redis://{address}/0"), "timeout": 0.2 * _SECOND})
    answer = client.post("/attribute", files=IMAGE)
    assert answer.status_code == 202, answer.text
    assert client.get(answer.headers["location"]).json() == answer.json()
    job_id = uuid.UUID(answer.json()["id"])
    with database.transaction() as session:
        job = get_by_id(session, DEFAULT_TENANT, job_id)
        assert job is not None
        assert (job.status, job.stage) == (JobStatus.QUEUED, Stage.SCREENING)
        assert len(list_for_job(session, job_id)) == 5


@pytest.mark.parametrize("kind", ["unreachable", "silence"])
def test_without_postgres_the_response_is_a_503(
    start: Callable[..., TestClient], request: pytest.FixtureRequest, kind: str
):
    """POST and GET answer 503 as a problem with Retry-After; nothing of the cause leaks."""
    address = request.getfixturevalue(kind)
    client = start(
        database={"url": SecretStr(f"postgresql://app:secret@{address}/app"), "connect_timeout": 2 * _SECOND}
    )
    for answer in (client.post("/attribute", files=IMAGE), client.get(f"/attribute/{uuid.uuid4()}")):
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["retry-after"] == "5"
        assert answer.json()["type"] == "/problems/storage-unavailable"
        assert "secret" not in answer.text
        assert "psycopg" not in answer.text


def test_a_pool_that_is_used_up_is_a_503_too(start: Callable[..., TestClient]):
    """Waiting for a connection has a limit; the response is 503 with Retry-After."""
    client = start(database={"pool_size": 1, "max_overflow": 0, "connect_timeout": 0.1 * _SECOND})
    held = client.app_state["database"].engine.connect()
    try:
        answer = client.get(f"/attribute/{uuid.uuid4()}")
    finally:
        held.close()
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/storage-unavailable")


def test_a_blob_store_that_cannot_be_written_is_a_503(start: Callable[..., TestClient], tmp_path):
    """No row is committed for bytes that could not be kept."""
    client = start()
    (tmp_path / "blobs").rmdir()
    (tmp_path / "blobs").write_text("a file, not a folder")
    answer = client.post("/attribute", files=IMAGE)
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/storage-unavailable")


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The kernel takes a part of a write that passes this size, and then refuses, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("form", [True, False])
def test_uploads_for_which_the_disk_has_no_room_are_a_503(client: TestClient, form: bool):
    """Not an error of the service, nor of the caller; nothing is left of them."""
    image = random.Random(0).randbytes(2_000_000)
    body = {"files": {"image": image}} if form else {"json": {"image": base64.b64encode(image).decode()}}
    with largest_file(1_500_000):
        answer = client.post("/attribute", **body)
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/storage-unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert client.post("/attribute", files=IMAGE).status_code == 202


def test_redis_and_postgres_have_the_same_document(client: TestClient, redis: Redis, database: Database):
    """The first poll asks Postgres, the next one only Redis, an emptied Redis means Postgres again: equal bytes."""
    location = client.post("/attribute", files=IMAGE).headers["location"]
    first = client.get(location)
    (key,) = redis.keys("job:*")
    assert redis.get(key) == first.content
    redis.persist(key)
    statements: list[str] = []
    engine = client.app_state["database"].engine
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    second = client.get(location)
    assert statements == []
    redis.flushall()
    third = client.get(location)
    assert statements
    assert first.content == second.content == third.content
    assert [answer.headers["retry-after"] for answer in (first, second, third)] == ["1", "1", "1"]


def test_an_ended_job_is_not_polled_again(client: TestClient, redis: Redis, database: Database):
    """Retry-After is gone once the status is an end, from Postgres and from Redis."""
    answer = client.post("/attribute", files=IMAGE)
    with database.transaction() as session:
        job = get_by_id(session, DEFAULT_TENANT, uuid.UUID(answer.json()["id"]))
        assert job is not None
        job.status, job.stage = JobStatus.CANCELED, None
    redis.flushall()
    for _ in range(2):
        polled = client.get(answer.headers["location"])
        assert polled.json()["status"] == "canceled"
        assert "retry-after" not in polled.headers


@pytest.mark.parametrize("job_id", [str(uuid.UUID(int=7)), "42"])
def test_jobs_that_do_not_exist_are_not_found(client: TestClient, job_id: str):
    """An unknown UUID, and texts that are none."""
    missing = client.get(f"/attribute/{job_id}")
    assert (missing.status_code, missing.json()["type"]) == (404, "/problems/not-found")


def test_too_many_concurrent_uploads_are_refused(start: Callable[..., TestClient]):
    """Beyond the setting, POST is a 503 with Retry-After, and a place that was freed is used again."""
    client = start(intake={"concurrent_uploads": 1})
    with client.app_state["upload_slots"].take(uuid.uuid4()):
        answer = client.post("/attribute", files=IMAGE)
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/overloaded")
    assert int(answer.headers["retry-after"]) > 0
    assert client.post("/attribute", files=IMAGE).status_code == 202
    assert client.post("/attribute", files={"image": b"nothing"}).status_code == 415
    assert client.post("/attribute", files=IMAGE).status_code == 202


def test_a_body_that_does_not_arrive_times_out(start: Callable[..., TestClient]):
    """A client that stops in the middle of its upload gets 408, and frees its slot."""
    client = start(intake={"upload_timeout": 0.1 * _SECOND, "concurrent_uploads": 1})
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/attribute",
        "query_string": b"",
        "headers": [
            (b"content-type", b"multipart/form-data; boundary=b"),
            (b"authorization", client.headers["authorization"].encode()),
        ],
        "state": dict(client.app_state),
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> None:
        await anyio.sleep_forever()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    call(client, scope, receive, send)
    assert sent[0]["status"] == 408
    assert client.post("/attribute", files=IMAGE).status_code in {202, 408}
