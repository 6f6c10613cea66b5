"""One tenant that uploads slowly, floods or abandons: what another tenant notices of it."""

import base64
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from redis import Redis

from app.access import key_repository, tenant_repository
from app.access.identity import Scope
from app.access.key_repository import make_key
from app.db.database import Database
from tests.app.api.conftest import Served, connection
from tests.app.images import encoded, noise
from tests.app.worker import accept
from tests.attribution.test_file_parts import with_scans

IMAGE = {"image": encoded()}


@pytest.fixture
def other(database: Database) -> dict[str, str]:
    """The header of another tenant's key."""
    new = make_key()
    with database.transaction() as session:
        tenant = tenant_repository.insert(session, "other")
        key_repository.insert(session, tenant.id, new, "other", Scope, None, None)
    return {"Authorization": f"Bearer {new.text}"}


def begun(served: Served, size: int, body: bytes = b"") -> socket.socket:
    """A connection whose body does not go on."""
    connected = connection(served)
    head = (
        f"POST /attribute HTTP/1.1\r\nHost: x\r\nAuthorization: {served.client.headers['authorization']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
    )
    connected.sendall(head.encode() + body)
    return connected


def test_slow_uploads_leave_room_for_others(serve: Callable[..., Served], other: dict[str, str]):
    """A tenant that holds all its slots with a few bytes gets a 503 itself; another tenant's image is accepted."""
    served = serve(intake={"concurrent_uploads": 6, "uploads_per_tenant": 4})
    with ExitStack() as open_ones:
        for _ in range(4):
            open_ones.enter_context(closing(begun(served, 1_000, b"{   ")))
        deadline = time.monotonic() + 10
        while served.client.post("/attribute", content=b"").status_code != 503:
            assert time.monotonic() < deadline
        assert served.client.post("/attribute", files=IMAGE, headers=other).status_code == 202


def test_streams_of_one_tenant_leave_room_for_others(
    serve: Callable[..., Served], database: Database, redis: Redis, other: dict[str, str]
):
    """Beyond its share a stream is a 503, and another tenant's is not."""
    served = serve(long_polling={"watchers": 3, "watchers_per_tenant": 2})
    mine = f"/attribute/{accept(database)}/events"
    theirs = served.client.post("/attribute", files=IMAGE, headers=other).json()["id"]
    with ExitStack() as open_ones:
        for _ in range(2):
            open_ones.enter_context(served.client.stream("GET", mine))
        assert served.client.get(mine).status_code == 503
        stream = open_ones.enter_context(served.client.stream("GET", f"/attribute/{theirs}/events", headers=other))
        assert stream.status_code == 200


def test_a_stream_has_a_longest_life(serve: Callable[..., Served], database: Database, redis: Redis):
    """It ends before the job does, after a whole event; the next one continues behind it."""
    short = {"stream_lifetime": timedelta(seconds=0.3), "poll_every": timedelta(seconds=0.05)}
    served = serve(long_polling=short)
    answer = served.client.get(f"/attribute/{accept(database)}/events")
    assert answer.status_code == 200
    assert answer.text.endswith("\n\n")
    assert "event: stage" in answer.text


def test_abandoned_batches_delay_no_other_tenant(serve: Callable[..., Served], other: dict[str, str]):
    """Costly images are refused before they are decoded; and what an ended connection asked for is not decoded."""
    served = serve()
    slow = base64.b64encode(encoded(noise(2_600, 2_600), "PNG", compress_level=0)).decode()
    body = json.dumps({"items": [{"image": slow, "external_id": str(k)} for k in range(2)]}).encode()
    assert served.client.post("/attribute", files=IMAGE, headers=other).status_code == 202
    head = (
        f"POST /attribute/batch HTTP/1.1\r\nHost: x\r\nAuthorization: {served.client.headers['authorization']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    for _ in range(6):
        with closing(connection(served)) as connected:
            connected.sendall(head.encode() + body)
    began = time.monotonic()
    image = {"image": encoded(noise(seed=5))}
    assert served.client.post("/attribute", files=image, headers=other).status_code == 202
    assert time.monotonic() - began < 10
    hostile = {"image": with_scans(400)}
    refused = served.client.post("/attribute", files=hostile)
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/image-too-large")


def test_items_of_a_batch_count_as_requests(start: Callable[..., TestClient]):
    """Those beyond the key's limit are a 429, and the rest is not tried."""
    client = start(access={"requests_per_minute": 5})
    items = [{"image": base64.b64encode(encoded(noise(seed=k))).decode()} for k in range(8)]
    answer = client.post("/attribute/batch", json={"items": items})
    assert answer.status_code == 200, answer.text
    statuses = [item["status"] for item in answer.json()["items"]]
    assert statuses == [202] * 5 + [429] * 3
    assert "r=0" in answer.headers["ratelimit"]


def test_a_batch_has_a_time_limit(start: Callable[..., TestClient]):
    """Items that are left when it is over are a 503."""
    client = start(intake={"batch_timeout": timedelta(microseconds=1)})
    items = [{"image": base64.b64encode(encoded(noise(seed=k))).decode()} for k in range(3)]
    answer = client.post("/attribute/batch", json={"items": items}).json()
    assert [item["problem"]["type"] for item in answer["items"]] == ["/problems/overloaded"] * 3


@pytest.mark.parametrize(
    "body",
    [
        {f"unknown-{k}": k for k in range(2_000)},
        {"sources": [7] * 2_000, "exclude": [[]] * 2_000, "image": "x"},
        {"x" * 4_000: 1, "image": "x"},
        {"image": "x", "external_scores": {f"unknown-{k}": 0.5 for k in range(1_000)}},
        {"items": [{}] * 100},
    ],
    ids=["members", "lists", "a long name", "scores", "items"],
)
def test_answers_to_mistakes_are_small(start: Callable[..., TestClient], body: dict[str, Any]):
    """At most twenty are listed, and no name is repeated at length."""
    path = "/attribute/batch" if "items" in body else "/attribute"
    answer = start().post(path, json=body)
    assert answer.status_code in (200, 422)
    problems = [answer.json()] if answer.status_code == 422 else [each["problem"] for each in answer.json()["items"]]
    assert all(len(each["errors"]) <= 20 for each in problems)
    assert all(len(json.dumps(each)) < 20_000 for each in problems)


def test_a_large_body_does_not_block_others(serve: Callable[..., Served], other: dict[str, str]):
    """While 100,000 members are refused again and again, health checks are answered at once."""
    served = serve()
    body = json.dumps({f"unknown-{k}": k for k in range(100_000)})
    assert served.client.post("/attribute", files=IMAGE).status_code == 202  # starts the decoders
    over = threading.Event()
    refusals: list[int] = []

    def flood() -> None:
        with httpx.Client(base_url=served.url, headers=served.client.headers, timeout=60) as client:
            while not over.is_set():
                refusals.append(client.post("/attribute", content=body).status_code)

    flooding = threading.Thread(target=flood)
    served.client.headers["content-type"] = "application/json"
    flooding.start()
    slowest = 0.0
    with httpx.Client(base_url=served.url) as health:
        for _ in range(20):
            began = time.monotonic()
            assert health.get("/livez").status_code == 200
            slowest = max(slowest, time.monotonic() - began)
    over.set()
    flooding.join()
    assert set(refusals) == {400}
    assert slowest < 2


def test_unknown_sources_are_not_repeated_at_length(start: Callable[..., TestClient]):
    """A thousand ids that the catalog does not have make a short answer."""
    answer = start().post(
        "/attribute",
        json={"image": base64.b64encode(encoded()).decode(), "sources": [str(uuid.uuid4()) for _ in range(2_000)]},
    )
    assert answer.status_code == 422
    assert len(answer.content) < 10_000
