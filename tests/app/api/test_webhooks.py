"""/webhooks and the options of a job that concern them, from outside."""

import json
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis import Redis
from sqlalchemy import select, update
from standardwebhooks import Webhook

from app.access.identity import Scope
from app.api.dependencies import Identity, get_caller
from app.db.database import Database
from app.db.models import AuditEntry, Job, Tenant, WebhookDelivery, WebhookEndpoint
from app.webhooks.events import EventType
from tests.app.api.conftest import overrides
from tests.app.images import encoded

URL = "https://receiver.example/hook"
UNKNOWN = uuid.UUID("00000000-0000-7000-8000-00000000abcd")


def create(client: TestClient, **body: Any) -> dict[str, Any]:
    """A new endpoint."""
    answer = client.post("/webhooks", json={"url": URL} | body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/webhooks/{found['id']}"
    return found


def ping(client: TestClient, endpoint: dict[str, Any]) -> dict[str, Any]:
    """A delivery that waits."""
    answer = client.post(f"/webhooks/{endpoint['id']}/ping")
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture
def stranger(client: TestClient, database: Database) -> Callable[[], None]:
    """Makes every later request one of another tenant."""
    tenant = Tenant(name="another")
    with database.transaction() as session:
        session.add(tenant)
        session.flush()

    def take_over() -> None:
        overrides(client)[get_caller] = lambda: Identity(tenant.id, "stranger", frozenset(Scope))

    return take_over


def test_an_endpoint_is_created_shown_changed_and_deleted(client: TestClient):
    """Its secret is in the responses that are for it, and in no others."""
    made = create(client, description="the queue", events=["attribution.completed"])
    secret = made.pop("secret")
    Webhook(secret)
    assert made["enabled"] is True
    assert client.get(f"/webhooks/{made['id']}").json() == made
    assert client.get("/webhooks").json() == {"endpoints": [made]}
    assert client.get(f"/webhooks/{made['id']}/secret").json() == {"secret": secret}

    changed = client.patch(f"/webhooks/{made['id']}", json={"events": ["attribution.failed"], "description": None})
    assert changed.json() == made | {"events": ["attribution.failed"], "description": None}
    moved = client.patch(f"/webhooks/{made['id']}", json={"url": "https://other.example"})
    assert moved.json() == changed.json() | {"url": "https://other.example"}

    answer = client.delete(f"/webhooks/{made['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert client.get("/webhooks").json() == {"endpoints": []}
    assert client.delete(f"/webhooks/{made['id']}").status_code == 404


def test_an_endpoint_gets_all_events_by_default(client: TestClient):
    """All types are the default."""
    assert create(client)["events"] == [kind.value for kind in EventType]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": URL, "events": []},
        {"url": URL, "events": ["attribution.done"]},
        {"url": URL, "description": "x" * 201},
        {"url": URL, "description": "a\x00b"},
        {"url": URL, "secret": "mine"},
        {"url": 7},
        {"url": "https://" + "x" * 5_000},
    ],
)
def test_an_invalid_endpoint_is_refused(client: TestClient, body: dict[str, Any]):
    """With a problem that has a pointer."""
    answer = client.post("/webhooks", json=body)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-request")
    assert all(mistake["pointer"].startswith("#/") for mistake in answer.json()["errors"])


@pytest.mark.parametrize(
    "url",
    [
        "http://receiver.example/",
        "https://127.0.0.1/",
        "https://169.254.169.254/latest",
        "https://[::1]/",
        "https://2130706433/",
        "https://user:password@receiver.example/",
        "ftp://receiver.example/",
        "receiver.example",
        "",
    ],
)
def test_only_public_https_urls_are_accepted(client: TestClient, url: str):
    """Of endpoints, of changed endpoints, and of jobs."""
    endpoint = create(client)
    for answer in (
        client.post("/webhooks", json={"url": url}),
        client.patch(f"/webhooks/{endpoint['id']}", json={"url": url}),
        client.post("/attribute", files={"image": encoded()}, data={"webhook_url": url}) if url else None,
    ):
        if answer is not None:
            assert (answer.status_code, answer.json()["type"]) == (422, "/problems/address-refused")
    assert client.get(f"/webhooks/{endpoint['id']}").json()["url"] == URL


def test_the_number_of_endpoints_is_limited(client: TestClient):
    """Twenty, however many requests come at once; disabled ones count, and a deleted one makes room."""
    first = create(client)
    assert client.patch(f"/webhooks/{first['id']}", json={"enabled": False}).status_code == 200
    with ThreadPoolExecutor(40) as callers:
        statuses = list(callers.map(lambda _: client.post("/webhooks", json={"url": URL}).status_code, range(40)))
    assert sorted(statuses) == [201] * 19 + [422] * 21
    assert client.delete(f"/webhooks/{first['id']}").status_code == 204
    create(client)


def test_an_operator_can_allow_http(start: Callable[..., TestClient]):
    """For a demonstration on one host."""
    client = start(webhooks={"allow_http": True}, egress={"allow": ("127.0.0.1",)})
    assert client.post("/webhooks", json={"url": "http://127.0.0.1:9000/"}).status_code == 201


def test_rotation_shows_the_new_secret_and_keeps_the_former_one_for_a_while(client: TestClient, database: Database):
    """Two are stored, the new one is shown."""
    endpoint = create(client)
    fresh = client.post(f"/webhooks/{endpoint['id']}/rotate").json()["secret"]
    assert fresh != endpoint["secret"]
    assert client.get(f"/webhooks/{endpoint['id']}/secret").json() == {"secret": fresh}
    with database.transaction() as session:
        stored = session.scalars(select(WebhookEndpoint.secrets)).one()
    assert [each["secret"] for each in stored] == [fresh, endpoint["secret"]]
    assert [each["expires_at"] is None for each in stored] == [True, False]


def test_the_default_secret_is_created_once(client: TestClient):
    """The first request creates it; later ones get the same."""
    first = client.get("/webhooks/default/secret")
    assert first.status_code == 200
    Webhook(first.json()["secret"])
    assert client.get("/webhooks/default/secret").json() == first.json()


def test_a_ping_is_enqueued_and_shown(client: TestClient, redis: Redis):
    """A signed ping without a job; a message wakes the workers because a delivery is due."""
    endpoint = create(client)
    made = ping(client, endpoint)
    assert (made["type"], made["job"], made["endpoint"], made["state"]) == (
        "webhook.ping",
        None,
        endpoint["id"],
        "pending",
    )
    assert made["webhook_id"] == f"msg_{made['id']}"
    shown = client.get(f"/webhooks/deliveries/{made['id']}").json()
    assert shown["attempted"] == []
    assert json.loads(shown["payload"])["data"] == {"sequence": 1, "endpoint": endpoint["id"]}
    assert json.loads(redis.lindex("notify", 0) or "")["headers"]["task"] == "workers.notify"


def test_deliveries_are_listed_page_by_page(client: TestClient):
    """Newest first, each once, filtered by endpoint and state."""
    one, other = create(client), create(client)
    made = [ping(client, one if n % 2 else other)["id"] for n in range(7)]
    pages, cursor = [], None
    while True:
        page = client.get("/webhooks/deliveries", params={"limit": 3} | ({"cursor": cursor} if cursor else {})).json()
        pages.append([delivery["id"] for delivery in page["deliveries"]])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [delivery for page in pages for delivery in page] == made[::-1]
    of_one = client.get("/webhooks/deliveries", params={"endpoint": one["id"]}).json()["deliveries"]
    assert [delivery["id"] for delivery in of_one] == made[1::2][::-1]
    assert client.get("/webhooks/deliveries", params={"state": "failed"}).json()["deliveries"] == []
    assert client.get("/webhooks/deliveries", params={"job": str(UNKNOWN)}).json()["deliveries"] == []
    assert client.get("/webhooks/deliveries", params={"state": "lost"}).status_code == 422
    assert client.get("/webhooks/deliveries", params={"limit": 101}).status_code == 422


@pytest.mark.parametrize("state", ["delivered", "failed", "dropped", "pending"])
def test_a_delivery_in_any_state_can_be_sent_again(client: TestClient, database: Database, state: str):
    """It is due at once, under the same id, at the endpoint's current URL."""
    endpoint = create(client)
    made = ping(client, endpoint)
    with database.transaction() as session:
        session.execute(
            update(WebhookDelivery).values(state=state, attempts=10, completed_at=WebhookDelivery.created_at)
        )
    client.patch(f"/webhooks/{endpoint['id']}", json={"url": "https://new.example/"})
    answer = client.post(f"/webhooks/deliveries/{made['id']}/redeliver")
    assert answer.status_code == 202
    again = answer.json()
    assert (again["state"], again["attempts"], again["webhook_id"]) == ("pending", 10, made["webhook_id"])
    assert (again["url"], again["completed_at"]) == ("https://new.example/", None)


def test_a_disabled_endpoint_gets_no_deliveries(client: TestClient):
    """Pending deliveries are dropped, pings and redeliveries are refused, until it is enabled again."""
    endpoint = create(client)
    made = ping(client, endpoint)
    off = client.patch(f"/webhooks/{endpoint['id']}", json={"enabled": False}).json()
    assert off["enabled"] is False
    assert off["disabled_at"]
    assert client.get(f"/webhooks/deliveries/{made['id']}").json()["state"] == "dropped"
    for path in (f"/webhooks/{endpoint['id']}/ping", f"/webhooks/deliveries/{made['id']}/redeliver"):
        answer = client.post(path)
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/endpoint-disabled")
    on = client.patch(f"/webhooks/{endpoint['id']}", json={"enabled": True}).json()
    assert (on["enabled"], on["disabled_at"], on["disabled_reason"]) == (True, None, None)
    assert client.post(f"/webhooks/deliveries/{made['id']}/redeliver").status_code == 202


def test_another_tenants_webhooks_do_not_exist(client: TestClient, database: Database, stranger: Callable[[], None]):
    """Every path with another tenant's id is a 404, and lists are empty."""
    endpoint = create(client)
    delivery = ping(client, endpoint)
    default = client.get("/webhooks/default/secret").json()
    stranger()
    for method, path in (
        ("GET", f"/webhooks/{endpoint['id']}"),
        ("PATCH", f"/webhooks/{endpoint['id']}"),
        ("DELETE", f"/webhooks/{endpoint['id']}"),
        ("GET", f"/webhooks/{endpoint['id']}/secret"),
        ("POST", f"/webhooks/{endpoint['id']}/rotate"),
        ("POST", f"/webhooks/{endpoint['id']}/ping"),
        ("GET", f"/webhooks/deliveries/{delivery['id']}"),
        ("POST", f"/webhooks/deliveries/{delivery['id']}/redeliver"),
    ):
        answer = client.request(method, path, json={"enabled": False} if method == "PATCH" else None)
        unknown = path.replace(endpoint["id"], str(UNKNOWN)).replace(delivery["id"], str(UNKNOWN))
        same = client.request(method, unknown, json={} if method == "PATCH" else None)
        assert answer.status_code == same.status_code == 404, path
        assert answer.text.replace(endpoint["id"], "").replace(delivery["id"], "") == same.text.replace(
            str(UNKNOWN), ""
        )
    assert client.get("/webhooks").json() == {"endpoints": []}
    for params in ({}, {"endpoint": endpoint["id"]}):
        assert client.get("/webhooks/deliveries", params=params).json()["deliveries"] == []
    assert client.get("/webhooks/default/secret").json() != default
    with database.transaction() as session:
        untouched = session.get_one(WebhookEndpoint, uuid.UUID(endpoint["id"]))
        assert (untouched.disabled_at, len(untouched.secrets)) == (None, 1)


def test_changes_of_webhooks_are_audited(client: TestClient, database: Database):
    """Who created, changed, deleted, rotated and read secrets; never the secrets."""
    endpoint = create(client)
    client.get(f"/webhooks/{endpoint['id']}/secret")
    client.post(f"/webhooks/{endpoint['id']}/rotate")
    client.patch(f"/webhooks/{endpoint['id']}", json={"enabled": False})
    client.delete(f"/webhooks/{endpoint['id']}")
    with database.transaction() as session:
        entries = session.scalars(
            select(AuditEntry).where(AuditEntry.subject == endpoint["id"]).order_by(AuditEntry.id)
        ).all()
    assert [entry.action.removeprefix("webhook.") for entry in entries] == [
        "created",
        "secret_read",
        "secret_rotated",
        "changed",
        "deleted",
    ]
    assert all(entry.request_id and not entry.detail for entry in entries)


def row_of(database: Database, answer: Any) -> Job:
    """The job that was accepted."""
    assert answer.status_code == 202, answer.text
    with database.transaction() as session:
        return session.get_one(Job, uuid.UUID(answer.json()["id"]))


def test_a_job_can_have_a_webhook_url_and_events(client: TestClient, database: Database):
    """In the form, the events separated by commas or repeated."""
    data = {
        "webhook_url": "https://Receiver.example/hook#part",
        "webhook_events": "attribution.completed, attribution.failed",
    }
    job = row_of(database, client.post("/attribute", files={"image": encoded()}, data=data))
    assert (job.notify, job.webhook_url) == (True, URL)
    assert job.webhook_events == ["attribution.completed", "attribution.failed"]


def test_the_events_of_a_job_go_to_the_tenants_endpoints(client: TestClient, database: Database):
    """One that is enabled when the job is accepted."""

    def notify() -> bool:
        return row_of(database, client.post("/attribute", files={"image": encoded()})).notify

    assert notify() is False
    endpoint = create(client)
    assert notify() is True
    client.patch(f"/webhooks/{endpoint['id']}", json={"enabled": False})
    assert notify() is False


@pytest.mark.parametrize(
    "data",
    [
        {"webhook_events": "attribution.completed"},
        {"webhook_url": URL, "webhook_events": "attribution.done"},
        {"webhook_url": URL, "webhook_events": ""},
        {"webhook_url": "https://receiver.example/" + "x" * 4_096},
    ],
)
def test_invalid_webhook_options_are_refused(client: TestClient, data: dict[str, str]):
    """Events without an address, unknown events, none at all, an endless address."""
    answer = client.post("/attribute", files={"image": encoded()}, data=data)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-request")
    assert answer.json()["errors"][0]["pointer"] in ("#/webhook_events", "#/webhook_url")
