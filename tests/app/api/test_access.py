"""Every endpoint, whoever asks: no key, a bad key, a key without the scope, and another tenant's key.

The endpoints come from the app itself. One that is new fails here until it stands in ASKS with what it asks for.
"""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from sqlalchemy import text

from app.access import key_repository
from app.access.key_format import make_key
from app.access.scopes import Scope
from app.api.access import is_open
from app.api.rules import Undeclared, describe_access, rules
from app.db.database import Database
from app.db.models import DEFAULT_TENANT, Tenant
from tests.app.images import encoded

S, R, A = Scope.SUBMIT, Scope.READ, Scope.ADMIN
# Method and path: the scope it asks for (None: any key will do), and what is sent so that only the id can be wrong.
ASKS: dict[str, tuple[Scope | None, dict[str, Any]]] = {
    "POST /attribute": (S, {"files": {"image": encoded()}}),
    "POST /attribute/batch": (S, {"json": {"items": []}}),
    "GET /attribute": (R, {}),
    "GET /attribute/{job_id}": (R, {}),
    "GET /attribute/{job_id}/events": (R, {}),
    "GET /attribute/{job_id}/images/query": (R, {}),
    "GET /attribute/{job_id}/images/{source}/{k}": (R, {}),
    "GET /attribute/{job_id}/feedback": (R, {}),
    "POST /attribute/{job_id}/feedback": (S, {"json": {"source": "bee"}}),
    "POST /attribute/{job_id}/references/{source}": (S, {"files": {"reference": encoded()}}),
    "POST /attribute/{job_id}/cancel": (S, {}),
    "DELETE /attribute/{job_id}": (S, {}),
    "POST /webhooks": (A, {"json": {"url": "https://receiver.example/"}}),
    "GET /webhooks": (A, {}),
    "GET /webhooks/default/secret": (A, {}),
    "GET /webhooks/deliveries": (A, {}),
    "GET /webhooks/deliveries/{delivery_id}": (A, {}),
    "POST /webhooks/deliveries/{delivery_id}/redeliver": (A, {}),
    "GET /webhooks/{endpoint_id}": (A, {}),
    "PATCH /webhooks/{endpoint_id}": (A, {"json": {"description": "mine"}}),
    "GET /webhooks/{endpoint_id}/secret": (A, {}),
    "POST /webhooks/{endpoint_id}/rotate": (A, {}),
    "POST /webhooks/{endpoint_id}/ping": (A, {}),
    "DELETE /webhooks/{endpoint_id}": (A, {}),
    "POST /screening/hash-lists": (
        A,
        {"params": {"name": "x"}, "content": "", "headers": {"Content-Type": "text/csv"}},
    ),
    "GET /screening/hash-lists": (A, {}),
    "GET /screening/hash-lists/{list_id}": (A, {}),
    "DELETE /screening/hash-lists/{list_id}": (A, {}),
    "POST /screening/text-rules": (A, {"json": {"name": "x", "kind": "words", "pattern": "x"}}),
    "GET /screening/text-rules": (A, {}),
    "GET /screening/text-rules/{rule_id}": (A, {}),
    "DELETE /screening/text-rules/{rule_id}": (A, {}),
    "POST /keys": (A, {"json": {"name": "x", "scopes": ["admin"]}}),
    "GET /keys": (A, {}),
    "GET /keys/{key_id}": (A, {}),
    "DELETE /keys/{key_id}": (A, {}),
    "GET /audit": (A, {}),
    "GET /sources": (None, {}),
    "GET /sources/{source_id}": (None, {}),
}
OPEN = {"/livez", "/readyz", "/metrics", "/openapi.json", "/docs", "/problems/{slug}"}
# Ids that belong to somebody; the catalog is everybody's.
OWNED = ("{job_id}", "{delivery_id}", "{endpoint_id}", "{list_id}", "{rule_id}", "{key_id}")
# What else a path takes: that of the one generated image there is.
REST = {"{source}": "ant", "{k}": "0", "{source_id}": "ant"}
PROBLEM = {"type", "title", "status", "detail", "instance"}


@pytest.fixture
def make(database: Database) -> Callable[..., str]:
    """Makes a key of a tenant, with anything about its row changed."""

    def made(tenant_id: uuid.UUID = DEFAULT_TENANT, scopes: Any = Scope, **changed: Any) -> str:
        new = make_key()
        with database.transaction() as session:
            row = key_repository.insert(session, tenant_id, new, "made", scopes, None, None)
            for name, value in changed.items():
                setattr(row, name, value)
        return new.text

    return made


def tenant(database: Database, name: str, **columns: Any) -> uuid.UUID:
    """Another tenant."""
    with database.transaction() as session:
        row = Tenant(name=name, **columns)
        session.add(row)
        session.flush()
        return row.id


def call(client: TestClient, operation: str, ids: dict[str, str], authorization: str | None) -> Any:
    """Does the operation on these ids, with this header and no other key."""
    method, path = operation.split()
    for name, value in (REST | ids).items():
        path = path.replace(name, value)
    sent = dict(ASKS[operation][1])
    headers = sent.pop("headers", {}) | ({} if authorization is None else {"Authorization": authorization})
    del client.headers["Authorization"]
    try:
        return client.request(method, path, headers=headers, **sent)
    finally:
        client.headers["Authorization"] = "Bearer nothing"


def unknown() -> dict[str, str]:
    """Ids that nobody has."""
    return {name: str(uuid.uuid4()) for name in OWNED}


def test_every_endpoint_says_who_may_call_it(client: TestClient):
    """The table above is the app, to the last route; what is open is on the list."""
    assert {f"{method} {path}": scope for method, path, scope in rules(client.app)} == {
        operation: scope for operation, (scope, _) in ASKS.items()
    }
    paths = {route.path_format for route in iter_route_contexts(client.app.routes)}
    assert {path for path in paths if is_open(path)} == OPEN


def test_an_endpoint_that_says_nothing_stops_the_start(client: TestClient):
    """It would answer anybody with a key, whatever it is good for."""

    @client.app.get("/forgotten")
    def forgotten() -> None:
        pass

    with pytest.raises(Undeclared, match="/forgotten"):
        describe_access(client.app)


def test_without_a_key_that_opens_nothing_answers(
    client: TestClient, database: Database, make: Callable[..., str], subtests: pytest.Subtests
):
    """401 with a challenge, whatever is wrong with the key, and the same for each endpoint but for its path."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    bad = {
        "none": None,
        "another scheme": "Basic d2hvOmRyZXc=",
        "no token": "Bearer",
        "garbage": "Bearer wd_garbage",
        "never made": f"Bearer {make_key().text}",
        "expired": f"Bearer {make(expires_at=past)}",
        "revoked": f"Bearer {make(revoked_at=past)}",
        "tenant off": f"Bearer {make(tenant(database, 'off', disabled_at=past))}",
    }
    for operation in ASKS:
        for kind, authorization in bad.items():
            with subtests.test(operation, kind=kind):
                answer = call(client, operation, unknown(), authorization)
                absent = kind in ("none", "another scheme")
                assert answer.status_code == 401
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.headers["www-authenticate"] == ("Bearer" if absent else 'Bearer error="invalid_token"')
                assert set(answer.json()) == PROBLEM
                assert answer.json()["type"] == "/problems/" + ("unauthenticated" if absent else "invalid-key")
                assert "ratelimit" not in answer.headers


def test_a_key_is_good_for_its_scopes_only(client: TestClient, make: Callable[..., str], subtests: pytest.Subtests):
    """403 for a key with all the other scopes; with just the right one the answer is about something else."""
    with_all_but = {scope: f"Bearer {make(scopes=set(Scope) - {scope})}" for scope in Scope}
    with_only = {scope: f"Bearer {make(scopes={scope})}" for scope in Scope}
    for operation, (scope, _) in ASKS.items():
        with subtests.test(operation):
            if scope is None:
                assert call(client, operation, unknown(), with_only[S]).status_code == 200
                continue
            refused = call(client, operation, unknown(), with_all_but[scope])
            assert refused.status_code == 403
            assert refused.headers["content-type"] == "application/problem+json"
            assert refused.headers["www-authenticate"] == f'Bearer error="insufficient_scope", scope="{scope}"'
            assert set(refused.json()) == PROBLEM
            assert refused.json()["type"] == "/problems/insufficient-scope"
            assert call(client, operation, unknown(), with_only[scope]).status_code not in (401, 403, 429)


@pytest.fixture
def owned(client: TestClient, database: Database, make: Callable[..., str]) -> dict[str, str]:
    """One thing of each kind that the default tenant has, by the name of its id in paths."""
    endpoint = client.post("/webhooks", json={"url": "https://receiver.example/"}).json()["id"]
    with_a_generated_image = {"image": encoded(), "reference[ant]": encoded()}
    job = client.post("/attribute", files=with_a_generated_image, data={"prompt": "noise"}).json()["id"]
    with database.transaction() as session:  # what a worker would have made
        session.execute(
            text("INSERT INTO blob_references SELECT job_id, 'query', tenant_id, sha256 FROM blob_references "
                 "WHERE job_id = :job AND role = 'original'"),
            {"job": job},
        )  # fmt: skip
    client.post(f"/attribute/{job}/feedback", json={"source": "ant"}).raise_for_status()
    csv = client.post(
        "/screening/hash-lists", params={"name": "x"}, content="0f" * 32, headers={"Content-Type": "text/csv"}
    )
    rule = client.post("/screening/text-rules", json={"name": "x", "kind": "words", "pattern": "x"})
    key = client.post("/keys", json={"name": "x", "scopes": ["admin"]})
    return {
        "{job_id}": job,
        "{endpoint_id}": endpoint,
        "{delivery_id}": client.post(f"/webhooks/{endpoint}/ping").json()["id"],
        "{list_id}": csv.json()["id"],
        "{rule_id}": rule.json()["id"],
        "{key_id}": key.json()["id"],
    }


def told(answer: Any, ids: dict[str, str]) -> tuple[int, str, dict[str, str]]:
    """All that an answer tells, but for the ids that were asked for, the request's own and the clock."""
    body = answer.text
    for value in ids.values():
        body = body.replace(value, "ID")
    apart = ("x-request-id", "ratelimit", "date")
    return answer.status_code, body, {name: value for name, value in answer.headers.items() if name not in apart}


def test_what_is_somebody_elses_is_not_there(
    client: TestClient, database: Database, make: Callable[..., str], owned: dict[str, str], subtests: pytest.Subtests
):
    """404, and by body, status and headers the very answer that an id has which nobody has; its owner finds it."""
    mine = f"Bearer {make()}"
    stranger = f"Bearer {make(tenant(database, 'stranger'))}"
    with_ids = [operation for operation in ASKS if any(name in operation for name in OWNED)]
    assert {name for name in OWNED if any(name in operation for operation in with_ids)} == set(OWNED)
    for operation in with_ids:
        with subtests.test(operation, who="a stranger"):
            nobodys = unknown()
            foreign, absent = (call(client, operation, ids, stranger) for ids in (owned, nobodys))
            assert foreign.status_code == 404
            assert told(foreign, owned) == told(absent, nobodys)
    call(client, "POST /attribute/{job_id}/cancel", owned, mine)  # or following its events would not end
    for operation in sorted(with_ids, key=lambda operation: operation.startswith("DELETE")):
        with subtests.test(operation, who="the owner"):
            assert call(client, operation, owned, mine).status_code < 300


def test_asking_for_somebody_elses_by_a_filter_finds_nothing(
    client: TestClient, database: Database, make: Callable[..., str], owned: dict[str, str]
):
    """Filters and cursors with another tenant's ids answer as with unknown ones; lists of all show nothing of it."""
    client.headers["Authorization"] = f"Bearer {make(tenant(database, 'stranger'))}"
    for template in (
        "/webhooks/deliveries?job={job_id}",
        "/webhooks/deliveries?endpoint={endpoint_id}",
        "/audit?subject={job_id}",
        "/audit?subject={key_id}",
    ):
        paths = [template, template]
        for name in OWNED:
            paths = [path.replace(name, ids[name]) for path, ids in zip(paths, (owned, unknown()), strict=True)]
        foreign, absent = (client.get(path) for path in paths)
        assert foreign.status_code == 200
        assert told(foreign, {}) == told(absent, {})
    for path in ("/attribute", "/webhooks", "/webhooks/deliveries", "/screening/hash-lists", "/screening/text-rules",
                 "/keys", "/audit"):  # fmt: skip
        answer = client.get(path)
        assert answer.status_code == 200
        assert not [value for value in owned.values() if value in answer.text]
