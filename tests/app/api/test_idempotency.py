"""Idempotency-Key: one job however often a request is sent, whatever is lost on the way."""

import asyncio
import base64
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, func, select, text

from app.access import key_repository
from app.access.identity import Scope
from app.access.key_repository import make_key
from app.db.blobs import Blobs
from app.db.database import Database
from app.db.models import DEFAULT_TENANT, IdempotencyKey, Job, Tenant
from app.jobs import deletion, idempotency
from app.jobs.acceptance import accept
from tests.app.api.conftest import Served
from tests.app.images import encoded, noise

FILE = encoded()
OTHER = encoded(noise(seed=1))
KEY = {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}


def post(client: TestClient, image: bytes = FILE, headers: dict[str, str] = KEY, **data: Any) -> Any:
    """Uploads an image under the key."""
    return client.post("/attribute", files={"image": image}, data=data, headers=headers)


def count(database: Database, table: Any = Job) -> int:
    """How many rows there are."""
    with database.transaction() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_the_same_request_gets_the_same_response(client: TestClient, database: Database):
    """Status, address and body to the byte; a header says that it is a replay. One job."""
    first, second = post(client), post(client)
    assert first.status_code == second.status_code == 202
    assert first.content == second.content
    for name in ("location", "etag", "retry-after", "content-type"):
        assert first.headers[name] == second.headers[name]
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert count(database) == 1


def test_quoted_or_bare_as_form_or_as_json_it_is_the_same_request(client: TestClient, database: Database):
    """The key, the options and the image count, not their format."""
    options = {"images_per_source": 3, "prompt": "a goat", "metadata": {"a": 1, "b": 2}}
    first = post(client, images_per_source="3", prompt="a goat", metadata='{"b": 2, "a": 1}')
    bare = {"Idempotency-Key": KEY["Idempotency-Key"].strip('"')}
    second = client.post("/attribute", json={"image": base64.b64encode(FILE).decode()} | options, headers=bare)
    assert second.headers["idempotency-replayed"] == "true"
    assert first.content == second.content
    assert count(database) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"image": OTHER},
        {"images_per_source": "3"},
        {"metadata": '{"a": 1}'},
        {"headers": KEY | {"Cancel-After": "1m"}},
    ],
)
def test_another_request_with_the_key_is_a_422(client: TestClient, database: Database, change: dict[str, Any]):
    """With a type of its own, and nothing is created; the first response is still replayed."""
    first = post(client)
    other = post(client, **change)
    assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-key-reused"), other.text
    assert post(client).content == first.content
    assert count(database) == 1


def test_endpoints_have_separate_keys(client: TestClient, database: Database):
    """A job by URL has a fingerprint, too."""
    answers = [
        client.post("/attribute", json={"image_url": f"https://images.example/{name}.png"}, headers=KEY)
        for name in ("a", "a", "b")
    ]
    assert [answer.status_code for answer in answers] == [202, 202, 422]
    assert count(database) == 1


@pytest.mark.parametrize("header", ['"', "a b", '""', "x" * 256])
def test_a_malformed_key_is_refused(client: TestClient, database: Database, header: str):
    """A 400, rather than a request that is not protected."""
    answer = post(client, headers={"Idempotency-Key": header})
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed-request")
    assert count(database) == 0


def test_a_refused_request_leaves_its_key_free(client: TestClient, database: Database):
    """Errors are not stored: the same key works for the fixed request."""
    for refused in (post(client, image=b"words"), post(client, image=b""), post(client, sources="unknown")):
        assert refused.status_code in {415, 422}
    assert count(database, IdempotencyKey) == 0
    assert post(client).status_code == 202


def test_tenants_have_separate_keys(client: TestClient, database: Database):
    """The same key of two tenants is two keys, and neither reveals the other."""
    new, other = make_key(), uuid.uuid4()
    with database.transaction() as session:
        session.add(Tenant(id=other, name="other"))
        session.flush()
        key_repository.insert(session, other, new, "test", Scope, None, None)
    mine = post(client)
    theirs = post(client, image=OTHER, headers=KEY | {"Authorization": f"Bearer {new.text}"})
    assert mine.status_code == theirs.status_code == 202
    assert mine.json()["id"] != theirs.json()["id"]
    assert "idempotency-replayed" not in theirs.headers


def test_fifty_requests_at_once_create_one_job(serve: Callable[..., Served], key: str, database: Database):
    """Over real sockets: each response is a 202 with the same job, or a 409 during the first request."""
    served = serve()

    async def run() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=50)
        headers = KEY | {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=served.url, headers=headers, limits=limits, timeout=60) as client:
            posts = [client.post("/attribute", files={"image": FILE}) for _ in range(50)]
            return list(await asyncio.gather(*posts))

    answers = asyncio.run(run())
    statuses = {answer.status_code for answer in answers}
    assert statuses <= {202, 409}
    accepted = [answer for answer in answers if answer.status_code == 202]
    assert len({answer.json()["id"] for answer in accepted}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in accepted) == 1
    for busy in (answer for answer in answers if answer.status_code == 409):
        assert busy.json()["type"] == "/problems/idempotency-key-in-use"
        assert int(busy.headers["retry-after"]) > 0
    assert count(database) == 1


def hold(database: Database, **values: Any) -> None:
    """Resets the key's row to its state during the first request."""
    with database.transaction() as session:
        row = session.get_one(IdempotencyKey, (DEFAULT_TENANT, KEY["Idempotency-Key"].strip('"')))
        row.status = row.headers = row.body = row.job_id = None
        for name, value in values.items():
            setattr(row, name, value)
        session.flush()
        session.execute(text("DELETE FROM jobs"))


def test_a_second_request_during_the_first_is_a_409(client: TestClient, database: Database):
    """And another request gets 409 at once."""
    post(client)
    hold(database, lease_until=func.now() + timedelta(seconds=30))
    busy = post(client)
    assert (busy.status_code, busy.json()["type"]) == (409, "/problems/idempotency-key-in-use")
    assert busy.headers["retry-after"] == "1"
    assert post(client, image=OTHER).status_code == 422
    assert count(database) == 0


def test_the_key_of_a_dead_process_is_released(client: TestClient, database: Database):
    """After its lease the same request is processed again, once."""
    post(client)
    hold(database, lease_until=func.now() - timedelta(seconds=1))
    assert post(client, image=OTHER).status_code == 422
    again = post(client)
    assert (again.status_code, "idempotency-replayed" in again.headers) == (202, False)
    assert post(client).content == again.content
    assert count(database) == 1


def test_of_two_requests_with_one_key_the_first_commit_wins(
    client: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
):
    """One continues after its lease: the other's response is replayed, and its own job is not committed."""
    monkeypatch.setattr(idempotency, "LEASE", timedelta(0))
    answers: list[Any] = []

    def overtaken(*given: Any) -> Any:
        if not answers:
            answers.append(None)
            answers[0] = post(client)  # a second request, from within the first
        return accept(*given)

    monkeypatch.setattr("app.intake.acceptance.accept", overtaken)
    slow = post(client)
    assert answers[0].status_code == slow.status_code == 202
    assert answers[0].content == slow.content
    assert slow.headers["idempotency-replayed"] == "true"
    assert count(database) == 1


@contextmanager
def losing_connections(database: Database, *, committed: bool, at: int = 1) -> Iterator[None]:
    """A durable commit, counted from 1, meets a lost connection: before Postgres has committed, or just after."""
    commits = 0

    def lose(connection: Any) -> None:
        nonlocal commits
        commits += connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
        if commits == at:
            commits += 1
            if committed:
                connection.connection.dbapi_connection.commit()
            connection.connection.dbapi_connection.close()

    event.listen(database.engine, "commit", lose)
    try:
        yield
    finally:
        event.remove(database.engine, "commit", lose)
    assert commits > at


@pytest.mark.parametrize("committed", [True, False])
def test_a_connection_lost_over_the_commit_is_a_503_that_can_be_retried(
    client: TestClient, database: Database, committed: bool
):
    """The response is lost; repeating the request with its key finds the job, or creates it."""
    with losing_connections(client.app_state["database"], committed=committed):
        lost = post(client)
    assert (lost.status_code, lost.json()["type"]) == (503, "/problems/storage-unavailable"), lost.text
    assert count(database) == int(committed)
    again = post(client)
    assert again.status_code == 202, again.text
    assert ("idempotency-replayed" in again.headers) is committed
    assert count(database) == 1


def test_an_expired_key_is_a_new_one(client: TestClient, database: Database):
    """After its time it can be used for another request; and beat deletes it."""
    first = post(client)
    with database.transaction() as session:
        session.execute(text("UPDATE idempotency_keys SET expires_at = now() - interval '1 second'"))
    other = post(client, image=OTHER)
    assert other.status_code == 202
    assert other.json()["id"] != first.json()["id"]
    with database.transaction() as session:
        assert idempotency.delete_expired(session) == 0
        session.execute(text("UPDATE idempotency_keys SET expires_at = now() - interval '1 second'"))
        assert idempotency.delete_expired(session) == 1
    assert count(database, IdempotencyKey) == 0


def test_a_key_is_stored_as_long_as_configured(start: Callable[..., TestClient], database: Database):
    """From its first request on."""
    post(start(intake={"idempotency_ttl": timedelta(minutes=5)}))
    with database.transaction() as session:
        row = session.scalars(select(IdempotencyKey)).one()
    assert row.expires_at - row.created_at == timedelta(minutes=5)


def test_what_is_deleted_of_a_job_is_deleted_here_too(client: TestClient, database: Database):
    """After the retention of captions the replay has the job's current state; the key still prevents a second job."""
    first = post(client, prompt="a secret goat")
    with database.transaction() as session:
        ended = "status = 'succeeded', stage = NULL, completed_at = now() - interval '9 days'"
        session.execute(text(f"UPDATE jobs SET {ended}"))
        assert len(deletion.delete_expired_captions(session, timedelta(days=1))) == 1
    client.app_state["snapshots"].delete(DEFAULT_TENANT, uuid.UUID(first.json()["id"]))
    again = post(client, prompt="a secret goat")
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert (again.json()["status"], again.json()["prompt"]) == ("succeeded", None)
    assert count(database) == 1
    with database.transaction() as session:
        assert "goat" not in json.dumps(session.scalars(select(IdempotencyKey.body)).all())


def test_a_late_retry_does_not_recreate_a_deleted_job(client: TestClient, database: Database, settings: Any):
    """The replay is a 410."""
    first = post(client, prompt="a secret goat")
    snapshots = client.app_state["snapshots"]
    assert deletion.delete_job(
        database, Blobs(settings.blobs.url), snapshots, DEFAULT_TENANT, uuid.UUID(first.json()["id"]), "test"
    )
    again = post(client, prompt="a secret goat")
    assert (again.status_code, again.json()["type"]) == (410, "/problems/deleted")
    assert count(database) == 1
