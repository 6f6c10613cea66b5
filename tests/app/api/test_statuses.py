"""The documented error statuses: Postgres unavailable, bodies that are truncated, late or too large."""

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import anyio
import psycopg
import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from sqlalchemy import event, text

from app.api.request_bodies import DocumentRoute
from app.db.database import Database
from tests.app.api.conftest import application, call
from tests.app.api.test_access import ENDPOINTS, OWNED, REST
from tests.app.images import encoded

BROKEN: dict[str, Any] = {"content": b"{", "headers": {"Content-Type": "application/json"}}
# A batch answers item by item, unless it has a key.
OTHERWISE = {
    "POST /attribute/batch": {"json": {"items": [{"image": "eA=="}]}, "headers": {"Idempotency-Key": '"batch"'}}
}
NEED_NO_STORE = {"GET /sources", "GET /sources/{source_id}"}


def path_of(operation: str) -> tuple[str, str]:
    """Method and path, with valid ids."""
    method, path = operation.split()
    for name, value in (REST | {name: str(uuid.uuid4()) for name in OWNED}).items():
        path = path.replace(name, value)
    return method, path


def cut_off(client: TestClient) -> None:
    """Makes Postgres unavailable to an API that has cached its caller's key."""
    engine = client.app_state["database"].engine

    def refuse(*_: Any) -> None:
        raise psycopg.OperationalError("no route to host")

    for connect in list(engine.dialect.dispatch.do_connect):
        event.remove(engine, "do_connect", connect)
    event.listen(engine, "do_connect", refuse)
    engine.dispose()


def test_without_postgres_every_endpoint_is_a_503(start: Callable[..., TestClient], subtests: pytest.Subtests):
    """503 as a problem with Retry-After; the catalog alone is read without it."""
    client = start(access={"key_cache": timedelta(seconds=10)})
    assert client.get("/sources").status_code == 200  # the caller is known from now on
    cut_off(client)
    for operation, (_, asked) in ENDPOINTS.items():
        with subtests.test(operation):
            method, path = path_of(operation)
            answer = client.request(method, path, **(OTHERWISE.get(operation) or asked))
            if operation in NEED_NO_STORE:
                assert answer.status_code == 200
                continue
            assert (answer.status_code, answer.json()["type"]) == (503, "/problems/storage-unavailable")
            assert answer.headers["retry-after"]
            assert "psycopg" not in answer.text


@pytest.mark.parametrize(
    "operation",
    [
        "POST /attribute",
        "POST /attribute/batch",
        "POST /attribute/{job_id}/feedback",
        "POST /keys",
        "POST /screening/text-rules",
        "POST /webhooks",
        "PATCH /webhooks/{endpoint_id}",
    ],
)
def test_truncated_json_is_a_400(client: TestClient, operation: str):
    """Before anything is looked up."""
    method, path = path_of(operation)
    answer = client.request(method, path, **BROKEN)
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed-request")


STREAMED = pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/attribute", b"multipart/form-data; boundary=b"),
        ("/attribute/batch", b"application/json"),
        ("/screening/hash-lists", b"text/csv"),
    ],
)


def begun(client: TestClient, path: str, kind: bytes, receive: Callable[[], Any]) -> int:
    """The status of a POST whose body comes as `receive` has it."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"name=x",
        "headers": [(b"content-type", kind), (b"authorization", client.headers["authorization"].encode())],
        "state": dict(client.app_state),
    }
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    call(client, scope, receive, send)
    return int(sent[0]["status"])


@STREAMED
def test_a_body_that_does_not_arrive_is_a_408(start: Callable[..., TestClient], path: str, kind: bytes):
    """A client that stops in the middle gets a response when the time is over."""
    client = start(intake={"upload_timeout": timedelta(seconds=0.1)})
    assert begun(client, path, kind, anyio.sleep_forever) == 408


@STREAMED
def test_a_broken_connection_is_a_400(client: TestClient, path: str, kind: bytes):
    """The client has disconnected, but the log has the status."""

    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    assert begun(client, path, kind, gone) == 400


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize(
    "path", [f"/attribute/{uuid.UUID(int=1)}/feedback", "/keys", "/webhooks", "/screening/text-rules"]
)
def test_a_document_that_is_too_large_is_a_413(client: TestClient, path: str, announced: bool):
    """With its size in the header, and where it grows beyond the limit as it arrives."""

    def growing() -> Iterator[bytes]:
        yield b'{"source": "'
        for _ in range(20):
            yield b"x" * 10_000

    body = b"".join(growing()) if announced else growing()
    answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/upload-too-large")


def test_every_document_has_a_limit(client: TestClient):
    """Each route whose body FastAPI reads whole is a DocumentRoute."""
    routes = [route for route in iter_route_contexts(application(client).routes) if getattr(route, "body_field", None)]
    assert {route.path for route in routes} >= {"/keys", "/webhooks", "/screening/text-rules"}
    assert {type(route.original_route) for route in routes} == {DocumentRoute}


def test_a_batch_whose_key_is_in_use_is_a_409(client: TestClient, database: Database):
    """The first request with it has not ended."""
    sent: dict[str, Any] = {"json": {"items": [{"image": "eA=="}]}, "headers": {"Idempotency-Key": '"batch-1"'}}
    assert client.post("/attribute/batch", **sent).status_code == 200
    with database.transaction() as session:
        session.execute(
            text(
                "UPDATE idempotency_keys SET status = NULL, headers = NULL, body = NULL,"
                " lease_until = now() + interval '1 min'"
            )
        )
    answer = client.post("/attribute/batch", **sent)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/idempotency-key-in-use")


def test_a_deleted_job_cannot_be_canceled(client: TestClient):
    """410, as for GET."""
    location = client.post("/attribute", files={"image": encoded()}).headers["location"]
    assert client.delete(location).status_code == 204
    answer = client.post(f"{location}/cancel")
    assert (answer.status_code, answer.json()["type"]) == (410, "/problems/deleted")
