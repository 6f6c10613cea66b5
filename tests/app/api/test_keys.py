"""/keys, /audit, and a key's life: used, remembered for a moment, expired, revoked."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from redis import Redis
from sqlalchemy import delete, event, select, update

from app.access.key_repository import digest_of, make_key
from app.access.keyring import Keyring
from app.db.database import Database
from app.db.models import ApiKey, AuditEntry, Tenant
from tests.waiting import wait_until

NEW = {"name": "moderation queue", "scopes": ["submit", "read"]}


def bearer(key: str) -> dict[str, str]:
    """The header with another key than the client's own."""
    return {"Authorization": f"Bearer {key}"}


def test_a_key_is_shown_once_and_stored_as_its_hash(client: TestClient, database: Database):
    """The key of the response works; neither the table nor any later response has it."""
    answer = client.post("/keys", json=NEW)
    assert answer.status_code == 201
    made = answer.json()
    assert answer.headers["location"] == f"/keys/{made['id']}"
    assert made["key"].startswith(made["prefix"] + "_")
    assert client.get("/attribute", headers=bearer(made["key"])).status_code == 200
    assert client.get("/keys", headers=bearer(made["key"])).status_code == 403
    shown = client.get(f"/keys/{made['id']}")
    assert set(shown.json()) == set(made) - {"key"}
    secret = made["key"].removeprefix(made["prefix"])
    for text in (shown.text, client.get("/keys").text, client.get("/audit").text):
        assert secret not in text
    with database.transaction() as session:
        row = session.get_one(ApiKey, made["id"])
        assert row.sha256 == digest_of(made["key"])
        assert secret not in str(vars(row))


def test_a_key_grants_only_what_it_has(client: TestClient):
    """No scope that it lacks, no higher rate limit, no expiry in the past; and no scope implies another."""
    admin = client.post("/keys", json={"name": "admin", "scopes": ["admin"]}).json()["key"]
    refused = client.post("/keys", json=NEW, headers=bearer(admin))
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/insufficient-scope")
    assert client.post("/keys", json=NEW | {"scopes": ["admin"]}, headers=bearer(admin)).status_code == 201
    mistakes: tuple[dict[str, object], ...] = (
        {"requests_per_minute": 3_001},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "2999-01-01T00:00:00"},
        {"scopes": []},
        {"scopes": ["root"]},
        {"name": ""},
    )
    for wrong in mistakes:
        assert client.post("/keys", json=NEW | wrong).status_code == 422, wrong
    assert client.post("/keys", json=NEW | {"requests_per_minute": 3_000}).status_code == 201


def refusal(client: TestClient, key: str) -> Any:
    """The first response to this key that is not a success."""

    def refused() -> Any:
        answer = client.get("/attribute", headers=bearer(key))
        return answer if answer.is_error else None

    return wait_until(refused)


def test_a_revoked_key_is_refused_after_the_cache_time(start: Callable[..., TestClient]):
    """After the configured time; revoking again changes nothing; the revoking key is in the audit log."""
    client = start(access={"key_cache": timedelta(milliseconds=200)})
    made = client.post("/keys", json=NEW).json()
    assert client.get("/attribute", headers=bearer(made["key"])).status_code == 200
    assert [client.delete(f"/keys/{made['id']}").status_code for _ in range(2)] == [204, 204]
    refused = refusal(client, made["key"])
    assert (refused.status_code, refused.json()["type"]) == (401, "/problems/invalid-key")
    assert "revoked" in refused.json()["detail"]
    done = client.get("/audit", params={"subject": made["id"]}).json()["entries"]
    assert [entry["action"] for entry in done] == ["key.revoked", "key.created"]
    (mine,) = [key["id"] for key in client.get("/keys").json()["keys"] if key["name"] == "test"]
    assert {entry["actor"] for entry in done} == {f"key:{mine}"}


def test_a_cached_key_expires(client: TestClient):
    """To the second, also while it is cached."""
    soon = (datetime.now(UTC) + timedelta(seconds=1.5)).isoformat()
    key = client.post("/keys", json=NEW | {"expires_at": soon}).json()["key"]
    assert client.get("/attribute", headers=bearer(key)).status_code == 200
    refused = refusal(client, key)
    assert datetime.now(UTC) > datetime.fromisoformat(soon)
    assert refused.status_code == 401
    assert "expired" in refused.json()["detail"]


def test_looking_up_is_cheap(client: TestClient, database: Database, redis: Redis):
    """A key is looked up once, an unknown one as well, an invalid one never; the row is written once."""
    statements: list[str] = []
    event.listen(
        client.app_state["database"].engine, "before_cursor_execute", lambda *given: statements.append(given[2])
    )
    key = client.post("/keys", json=NEW).json()["key"]
    statements.clear()
    for _ in range(5):
        client.get("/sources", headers=bearer(key))
    assert [statement.split()[0] for statement in statements] == ["SELECT", "UPDATE"]
    statements.clear()
    unknown = client.post("/keys", json=NEW).json()["key"]
    with database.transaction() as session:
        session.execute(delete(ApiKey).where(ApiKey.sha256 == digest_of(unknown)))
    statements.clear()
    for _ in range(5):
        assert client.get("/sources", headers=bearer(unknown)).status_code == 401
        assert client.get("/sources", headers=bearer(unknown[:-1] + "!")).status_code == 401
    assert [statement.split()[0] for statement in statements] == ["SELECT"]
    with database.transaction() as session:
        used = session.scalars(select(ApiKey.last_used_at).where(ApiKey.sha256 == digest_of(key))).one()
        assert used is not None


def test_without_postgres_a_key_is_a_503(start: Callable[..., TestClient]):
    """503, never 401: a caller discards a key that is refused."""
    client = start(database={"url": SecretStr("postgresql://app:secret@127.0.0.1:9/app")})
    answer = client.get("/sources")
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/storage-unavailable")
    assert answer.headers["retry-after"] == "5"


def test_anonymous_access_can_be_allowed(start: Callable[..., TestClient]):
    """With ACCESS__ANONYMOUS, no key is the default tenant with all scopes; an invalid key is still refused."""
    client = start(access={"anonymous": True})
    del client.headers["authorization"]
    client.base_url = "http://localhost:8000"
    assert client.get("/keys").status_code == 200
    assert client.get("/keys", headers=bearer("nonsense")).status_code == 401
    assert client.get("/keys", headers={"Authorization": ""}).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "127.0.0.1:8000"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Host": "LOCALHOST"}, 200),
        ({"Origin": "http://localhost:8000"}, 200),
        ({"Origin": "https://console.example"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:8000"}, 403),
        ({"Host": "[evil"}, 403),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_no_foreign_page_is_anonymous(start: Callable[..., TestClient], headers: dict[str, str], status: int):
    """DNS rebinding and forms: the host must be a name of the API, and a page its own or a configured one."""
    client = start(access={"anonymous": True}, api={"cors_origins": ("https://console.example",)})
    key = client.headers.pop("authorization")
    client.base_url = "http://localhost:8000"
    for method, path in (("GET", "/webhooks/default/secret"), ("POST", "/webhooks/default/secret/x")):
        answer = client.request(method, path, headers=headers)
        assert answer.status_code == (status if status == 403 or method == "GET" else 404)
        if status == 403:
            assert answer.json()["type"] == "/problems/foreign-page"
    # No page has a key.
    assert client.get("/keys", headers=headers | {"Authorization": key}).status_code == 200


def test_a_key_makes_no_key_with_more_than_itself(client: TestClient, database: Database):
    """Rate and life are inherited where they are omitted, and no more is granted; a key without limits sets any."""
    soon = datetime.now(UTC) + timedelta(minutes=5)
    limits = {"requests_per_minute": 10, "expires_at": soon.isoformat()}
    limited = client.post("/keys", json=NEW | {"scopes": ["admin"]} | limits).json()["key"]
    made = client.post("/keys", json={"name": "x", "scopes": ["admin"]}, headers=bearer(limited)).json()
    assert made["requests_per_minute"] == 10
    assert datetime.fromisoformat(made["expires_at"]) == soon
    for wanted, member in (
        ({"requests_per_minute": 11}, "requests_per_minute"),
        ({"expires_at": (soon + timedelta(seconds=1)).isoformat()}, "expires_at"),
    ):
        refused = client.post("/keys", json={"name": "x", "scopes": ["admin"]} | wanted, headers=bearer(limited))
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, f"#/{member}")
    unlimited = client.post("/keys", json=NEW).json()
    assert (unlimited["requests_per_minute"], unlimited["expires_at"]) == (None, None)


def test_a_flood_of_unknown_keys_does_not_delay_known_ones(start: Callable[..., TestClient], database: Database):
    """While look-ups of unknown keys hang, a key that was used before is looked up again at once."""
    client = start(access={"key_cache": timedelta(milliseconds=1)})
    client.get("/sources")
    locked, keyring = threading.Event(), client.app_state["keyring"]
    fetch = keyring._fetch
    known = digest_of(client.headers["authorization"].removeprefix("Bearer "))

    def hang_unless_known(digest: str) -> Any:
        if digest != known:
            locked.wait(20)
        return fetch(digest)

    keyring._fetch = hang_unless_known
    try:
        with ThreadPoolExecutor(20) as callers:
            for _ in range(20):
                callers.submit(client.get, "/sources", headers=bearer(make_key().text))
            wait_until(lambda: keyring._other_look_ups.threads.borrowed_tokens == 2)
            assert client.get("/sources").status_code == 200
            locked.set()
    finally:
        locked.set()


def test_lists_come_in_pages(client: TestClient):
    """Newest first, every one once, and the last page has no cursor."""
    for number in range(5):
        client.post("/keys", json=NEW | {"name": f"key {number}"})
    for path, member in (("/keys", "keys"), ("/audit", "entries")):
        seen: list[Any] = []
        cursor = None
        while True:
            page = client.get(path, params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
            seen += page[member]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert len({each["id"] for each in seen}) == len(seen) == (6 if path == "/keys" else 5)
        assert [each["id"] for each in seen] == sorted((each["id"] for each in seen), reverse=True)


def test_a_cursor_belongs_to_its_listing(client: TestClient):
    """A cursor of /keys is refused by /audit and /webhooks/deliveries, and by a listing with other filters."""
    for number in range(3):
        client.post("/keys", json=NEW | {"name": f"key {number}"})
    cursor = client.get("/keys", params={"limit": 1}).json()["next_cursor"]
    of_audit = client.get("/audit", params={"limit": 1}).json()["next_cursor"]
    subject = client.get("/audit").json()["entries"][0]["subject"]
    for path, wrong in (
        ("/audit", {"cursor": cursor}),
        ("/webhooks/deliveries", {"cursor": cursor}),
        ("/audit", {"cursor": of_audit, "subject": subject}),
        ("/keys", {"cursor": client.get("/keys").json()["keys"][0]["id"]}),
    ):
        answer = client.get(path, params=wrong)
        assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "cursor"), path
    assert client.get("/audit", params={"cursor": of_audit}).status_code == 200


def test_the_number_of_keys_is_limited(client: TestClient):
    """A hundred valid ones; after revoking one, another can be created."""
    first = client.post("/keys", json=NEW).json()["id"]
    for _ in range(98):
        assert client.post("/keys", json=NEW).status_code == 201
    assert client.post("/keys", json=NEW).status_code == 422
    client.delete(f"/keys/{first}")
    assert client.post("/keys", json=NEW).status_code == 201


def test_the_number_of_keys_is_exact(client: TestClient):
    """Forty requests at once for the last five."""
    for _ in range(94):
        assert client.post("/keys", json=NEW).status_code == 201
    with ThreadPoolExecutor(40) as callers:
        statuses = list(callers.map(lambda _: client.post("/keys", json=NEW).status_code, range(40)))
    assert sorted(statuses) == [201] * 5 + [422] * 35


def test_the_caches_of_keys_are_bounded(client: TestClient):
    """After ten thousand unknown keys the known one is still cached."""
    keyring: Keyring = client.app_state["keyring"]
    client.get("/sources")
    for number in range(30_000):
        keyring._unknown[str(number)] = None
    assert len(keyring._unknown) == 10_000
    assert len(keyring._known) == 1


def test_the_key_of_a_disabled_tenant_is_refused(client: TestClient, database: Database):
    """All its keys, with the reason."""
    with database.transaction() as session:
        session.execute(update(Tenant).values(disabled_at=datetime.now(UTC)))
    refused = client.get("/sources")
    assert refused.status_code == 401
    assert "disabled" in refused.json()["detail"]


def test_reading_the_log_is_not_logged(client: TestClient, database: Database):
    """Nor is listing keys: the log would be about itself."""
    client.get("/audit")
    client.get("/keys")
    with database.transaction() as session:
        assert session.scalars(select(AuditEntry)).all() == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/keys"),
        ("POST", "/webhooks"),
        ("PATCH", f"/webhooks/{uuid.UUID(int=0)}"),
        ("POST", "/screening/text-rules"),
    ],
)
@pytest.mark.parametrize("announced", [True, False])
def test_an_endless_body_is_refused(client: TestClient, method: str, path: str, announced: bool):
    """Documents are small: what is larger is refused before it is all in memory."""
    content = b" " * 100_000 if announced else (b" " * 10_000 for _ in range(10))
    answer = client.request(method, path, content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/upload-too-large")
    assert "ratelimit" in answer.headers
