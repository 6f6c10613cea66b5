"""Every endpoint without a key, with an invalid one, without the scope, and with another tenant's key.

The endpoints come from the app itself. A new one fails here until it stands in ENDPOINTS with the scope that it needs.
"""

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from sqlalchemy import text

from app.access import key_repository
from app.access.identity import Scope
from app.access.key_repository import make_key
from app.api import create_app
from app.api.attribution import PollRoute
from app.api.authentication import is_open
from app.db.database import Database
from app.db.models import DEFAULT_TENANT, Tenant
from app.settings import Settings
from tests.app.api.conftest import application
from tests.app.images import encoded

S, R, A = Scope.SUBMIT, Scope.READ, Scope.ADMIN
# Method and path: the scope that is needed (None: any key), and a request in which only the id can be wrong.
ENDPOINTS: dict[str, tuple[Scope | None, dict[str, Any]]] = {
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
OPEN = {"/livez", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/{asset}", "/problems/{slug}"}
# Ids that belong to a tenant; the catalog belongs to none.
OWNED = ("{job_id}", "{delivery_id}", "{endpoint_id}", "{list_id}", "{rule_id}", "{key_id}")
# The other parameters of paths: those of the one generated image there is.
REST = {"{source}": "ant", "{k}": "0", "{source_id}": "ant"}
PROBLEM = {"type", "title", "status", "detail", "instance"}


@pytest.fixture
def make(database: Database) -> Callable[..., str]:
    """Creates a key of a tenant, with any column changed."""

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
    """Calls the operation on these ids, with this header and no other key."""
    method, path = operation.split()
    for name, value in (REST | ids).items():
        path = path.replace(name, value)
    sent = dict(ENDPOINTS[operation][1])
    headers = sent.pop("headers", {}) | ({} if authorization is None else {"Authorization": authorization})
    del client.headers["Authorization"]
    try:
        return client.request(method, path, headers=headers, **sent)
    finally:
        client.headers["Authorization"] = "Bearer nothing"


def unknown() -> dict[str, str]:
    """Ids that do not exist."""
    return {name: str(uuid.uuid4()) for name in OWNED}


def declared(app: FastAPI) -> dict[str, list[str] | None]:
    """The scopes of every operation that is not open, as the OpenAPI document has them; None: it declares nothing."""
    paths = app.openapi()["paths"]
    found: dict[str, list[str] | None] = {}
    for route in iter_route_contexts(app.routes):
        path = route.path_format or ""
        for method in () if is_open(path) else route.methods or ():
            security = paths.get(path, {}).get(method.lower(), {}).get("security")
            found[f"{method} {path}"] = None if security is None else security[0]["key"]
    return found


def test_every_endpoint_declares_who_may_call_it(client: TestClient):
    """The table above has every route with its scope in the OpenAPI document, and OPEN has all others."""
    assert declared(application(client)) == {
        operation: [] if scope is None else [scope] for operation, (scope, _) in ENDPOINTS.items()
    }
    paths = {route.path_format for route in iter_route_contexts(application(client).routes)}
    assert {path for path in paths if path is not None and is_open(path)} == OPEN


def test_an_endpoint_that_declares_nothing_is_found(settings: Settings):
    """Any key would do for it, whatever its scopes: the test above must not overlook it."""
    app = create_app(settings)

    @app.get("/forgotten")
    def forgotten() -> None:
        pass

    assert declared(app)["GET /forgotten"] is None


@pytest.fixture
def ordinary(settings: Settings, client: TestClient) -> Iterator[TestClient]:
    """The same API without the plain route for polling: FastAPI's dependencies answer instead."""
    app = create_app(settings)
    assert [type(route) for route in app.router.routes if isinstance(route, PollRoute)] == [PollRoute]
    app.router.routes[:] = [route for route in app.router.routes if not isinstance(route, PollRoute)]
    with TestClient(app, raise_server_exceptions=False, headers=dict(client.headers)) as started:
        yield started


def test_polling_decides_as_the_dependencies_do(
    client: TestClient,
    ordinary: TestClient,
    database: Database,
    make: Callable[..., str],
    owned: dict[str, str],
    subtests: pytest.Subtests,
):
    """The plain route and the ordinary one have the same response: keys, scopes, tenants, conditions, preferences."""
    stranger = make(tenant(database, "stranger"))
    deleted = client.post("/attribute", files={"image": encoded()}).json()["id"]
    assert client.delete(f"/attribute/{deleted}").status_code == 204
    job = owned["{job_id}"]
    etag = client.get(f"/attribute/{job}").headers["etag"]
    cases: dict[str, tuple[int, str, dict[str, str]]] = {
        "own job": (200, job, {}),
        "no key": (401, job, {"Authorization": ""}),
        "invalid key": (401, job, {"Authorization": "Bearer wd_garbage"}),
        "without the scope": (403, job, {"Authorization": f"Bearer {make(scopes={S, A})}"}),
        "another tenant": (404, job, {"Authorization": f"Bearer {stranger}"}),
        "unknown id": (404, str(uuid.uuid4()), {}),
        "no UUID": (404, "42", {}),
        "deleted": (410, deleted, {}),
        "not modified": (304, job, {"If-None-Match": etag}),
        "waiting": (200, job, {"Prefer": "wait=1"}),
        "waiting for a change": (304, job, {"Prefer": "wait=1", "If-None-Match": etag}),
    }
    for name, (status, job_id, headers) in cases.items():
        with subtests.test(name):
            plain, dependent = (each.get(f"/attribute/{job_id}", headers=headers) for each in (client, ordinary))
            assert plain.status_code == status
            assert comparable(plain, {}) == comparable(dependent, {})
    for method in ("PUT", "HEAD"):
        plain, dependent = (each.request(method, f"/attribute/{job}") for each in (client, ordinary))
        assert plain.status_code == 405
        assert comparable(plain, {}) == comparable(dependent, {})


def test_polling_is_limited_as_the_dependencies_are(
    client: TestClient, ordinary: TestClient, make: Callable[..., str], owned: dict[str, str]
):
    """Both routes count requests against the key, and refuse the same way when they are used up."""
    for each in (client, ordinary):
        headers = {"Authorization": f"Bearer {make(requests_per_minute=3)}"}
        # more than twice as many, should a new minute begin
        answers = [each.get(f"/attribute/{owned['{job_id}']}", headers=headers) for _ in range(7)]
        assert answers[0].status_code == 200
        assert answers[-1].status_code == 429
        assert answers[-1].json()["violated-policies"] == ["requests"]


def test_without_a_valid_key_every_endpoint_refuses(
    client: TestClient, database: Database, make: Callable[..., str], subtests: pytest.Subtests
):
    """401 with a challenge, whatever is wrong with the key."""
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
    for operation in ENDPOINTS:
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


def test_a_key_has_its_scopes_only(client: TestClient, make: Callable[..., str], subtests: pytest.Subtests):
    """403 for a key with all the other scopes; with only the right one the response has another reason."""
    with_all_but = {scope: f"Bearer {make(scopes=set(Scope) - {scope})}" for scope in Scope}
    with_only = {scope: f"Bearer {make(scopes={scope})}" for scope in Scope}
    for operation, (scope, _) in ENDPOINTS.items():
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
    """One object of each kind of the default tenant, by the name of its id in paths."""
    endpoint = client.post("/webhooks", json={"url": "https://receiver.example/"}).json()["id"]
    with_a_generated_image = {"image": encoded(), "reference[ant]": encoded()}
    job = client.post("/attribute", files=with_a_generated_image, data={"prompt": "noise"}).json()["id"]
    with database.transaction() as session:  # as a worker would
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


def comparable(answer: Any, ids: dict[str, str]) -> tuple[int, str, dict[str, str]]:
    """A whole response except the requested ids, the request's own id and the time."""
    body = answer.text
    for value in ids.values():
        body = body.replace(value, "ID")
    apart = ("x-request-id", "ratelimit", "date")
    return answer.status_code, body, {name: value for name, value in answer.headers.items() if name not in apart}


def test_another_tenants_objects_do_not_exist(
    client: TestClient, database: Database, make: Callable[..., str], owned: dict[str, str], subtests: pytest.Subtests
):
    """404, with the same body and headers as for an unknown id; the owner has access."""
    mine = f"Bearer {make()}"
    stranger = f"Bearer {make(tenant(database, 'stranger'))}"
    with_ids = [operation for operation in ENDPOINTS if any(name in operation for name in OWNED)]
    assert {name for name in OWNED if any(name in operation for operation in with_ids)} == set(OWNED)
    for operation in with_ids:
        with subtests.test(operation, caller="another tenant"):
            unknown_ids = unknown()
            foreign, absent = (call(client, operation, ids, stranger) for ids in (owned, unknown_ids))
            assert foreign.status_code == 404
            assert comparable(foreign, owned) == comparable(absent, unknown_ids)
    call(client, "POST /attribute/{job_id}/cancel", owned, mine)  # or following its events would not end
    for operation in sorted(with_ids, key=lambda operation: operation.startswith("DELETE")):
        with subtests.test(operation, caller="the owner"):
            assert call(client, operation, owned, mine).status_code < 300


def test_filters_find_nothing_of_another_tenant(
    client: TestClient, database: Database, make: Callable[..., str], owned: dict[str, str]
):
    """Filters with another tenant's ids respond as with unknown ones; lists have nothing of it."""
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
        assert comparable(foreign, {}) == comparable(absent, {})
    for path in ("/attribute", "/webhooks", "/webhooks/deliveries", "/screening/hash-lists", "/screening/text-rules",
                 "/keys", "/audit"):  # fmt: skip
        answer = client.get(path)
        assert answer.status_code == 200
        assert not [value for value in owned.values() if value in answer.text]
