"""GET /attribute/{id}/events: a job is followed to its end, through broken connections and without Redis."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import httpx
import pytest
from pydantic import SecretStr
from redis import Redis

from app.api.events import accepts
from app.db.database import Database
from app.jobs.snapshots import Snapshots
from tests.app.api.conftest import Served
from tests.app.worker import SOURCES, accept, end, move
from tests.waiting import wait_until

_SECOND = timedelta(seconds=1)
FAST = {"poll_every": 0.05 * _SECOND}


def parsed(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    """Events as a client reads them; a comment is an event of its own here."""
    event: dict[str, str] = {}
    for line in lines:
        if not line:
            yield event
            event = {}
        elif line.startswith(":"):
            event["comment"] = line
        else:
            name, _, value = line.partition(": ")
            event[name] = value


def follow(
    served: Served,
    job_id: uuid.UUID,
    last: str | None = None,
    many: int | None = None,
    found: list[dict[str, str]] | None = None,
) -> list[dict[str, str]]:
    """Reads the stream to its end, or until so many events have come, into `found`."""
    headers = {"Last-Event-ID": last} if last else {}
    found = [] if found is None else found
    with served.client.stream("GET", f"/attribute/{job_id}/events", headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        for event in parsed(answer.iter_lines()):
            found.append(event)
            if len(found) == many:
                break
    return found


def brief(found: list[dict[str, str]]) -> list[str]:
    """Events in a word each."""
    words = {"stage": lambda data: data["stage"], "source": lambda data: f"{data['source']}={data['state']}"}
    return [words.get(each["event"], lambda _, name=each["event"]: name)(json.loads(each["data"])) for each in found]


PENDING = [f"{name}=pending" for name in SOURCES]


def test_a_job_is_followed_from_its_start_to_its_end(
    serve: Callable[..., Served], database: Database, snapshots: Snapshots
):
    """Stages, sources, and at last the whole document; then the stream ends, and reconnecting is a 204."""
    served, job_id = serve(long_polling=FAST), accept(database)
    found: list[dict[str, str]] = []

    def is_seen(word: str) -> bool:
        return word in brief(found)

    def work() -> None:
        for seen, stage, states in (
            (PENDING[-1], "captioning", {}),
            ("captioning", "resynthesizing", {"ant": "running"}),
            ("ant=running", "resynthesizing", {"ant": "done", "bee": "refused_prompt", "cat": "timeout"}),
            ("cat=timeout", "embedding", {}),
        ):
            wait_until(partial(is_seen, seen))
            move(database, job_id, stage, **states)
        wait_until(partial(is_seen, "embedding"))
        end(database, snapshots, job_id)

    worker = threading.Thread(target=work)
    worker.start()
    follow(served, job_id, found=found)
    worker.join()
    assert brief(found) == [
        *("screening", *PENDING, "captioning", "resynthesizing", "ant=running"),
        *("ant=done", "bee=refused_prompt", "cat=timeout", "embedding", "completed"),
    ]
    assert json.loads(found[-1]["data"]) == served.client.get(f"/attribute/{job_id}").json()
    back = served.client.get(f"/attribute/{job_id}/events", headers={"Last-Event-ID": found[-1]["id"]})
    assert (back.status_code, back.content) == (204, b"")


@pytest.mark.parametrize(
    ("status", "name"), [("succeeded", "completed"), ("failed", "failed"), ("canceled", "canceled")]
)
def test_the_stream_of_an_ended_job_ends_at_once(
    serve: Callable[..., Served], database: Database, snapshots: Snapshots, status: str, name: str
):
    """Its sources, and the event of its end."""
    served, job_id = serve(), accept(database)
    end(database, snapshots, job_id, status)
    assert brief(follow(served, job_id)) == ["screening", *PENDING, name]


def test_the_end_is_sent_when_it_comes(serve: Callable[..., Served], database: Database, snapshots: Snapshots):
    """Not only at the next poll."""
    served, job_id = serve(long_polling={"poll_every": 30 * _SECOND, "check_every": 30 * _SECOND}), accept(database)
    threading.Timer(1, end, (database, snapshots, job_id)).start()
    before = time.monotonic()
    assert brief(follow(served, job_id))[-1] == "completed"
    assert time.monotonic() - before < 10


def test_another_process_continues_a_broken_stream(
    serve: Callable[..., Served], database: Database, snapshots: Snapshots, redis: Redis
):
    """With nothing in Redis: events since then come in order, and none comes twice."""
    one, other, job_id = serve(long_polling=FAST), serve(long_polling=FAST), accept(database)
    first = follow(one, job_id, many=2)
    assert brief(first) == ["screening", "ant=pending"]
    move(database, job_id, "captioning")
    move(database, job_id, "resynthesizing", ant="done")
    move(database, job_id, "embedding", bee="done", cat="error")
    redis.flushall()
    second = follow(other, job_id, last=first[-1]["id"], many=4)
    assert brief(second) == ["captioning", "resynthesizing", "ant=done", "bee=done"]
    end(database, snapshots, job_id)
    redis.flushall()
    assert brief(follow(one, job_id, last=second[-1]["id"])) == ["cat=error", "embedding", "completed"]


def test_without_redis_a_job_is_followed_too(serve: Callable[..., Served], database: Database):
    """From Postgres alone."""
    unreachable = {"url": SecretStr("redis://127.0.0.1:1/0"), "timeout": 0.2 * _SECOND}
    served, job_id = serve(redis=unreachable, long_polling=FAST), accept(database)
    threading.Timer(0.5, end, (database, None, job_id)).start()
    assert brief(follow(served, job_id)) == ["screening", *PENDING, "completed"]


def test_silence_is_filled_with_comments(serve: Callable[..., Served], database: Database):
    """So that no proxy closes the connection as idle; the headers keep proxies from buffering the stream."""
    served, job_id = serve(long_polling={**FAST, "heartbeat": 0.2 * _SECOND}), accept(database)
    assert [each["comment"] for each in follow(served, job_id, many=7)[4:]] == [":"] * 3
    with served.client.stream("GET", f"/attribute/{job_id}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-store", "no")


def test_a_deleted_job_ends_the_stream(serve: Callable[..., Served], database: Database):
    """With the event `deleted`; a reconnecting client gets 410."""
    served, job_id = serve(long_polling=FAST), accept(database)
    threading.Timer(0.5, served.client.delete, (f"/attribute/{job_id}",)).start()
    found = follow(served, job_id)
    assert found[-1]["event"] == "deleted"
    assert json.loads(found[-1]["data"])["type"] == "/problems/deleted"
    assert served.client.get(f"/attribute/{job_id}/events").status_code == 410


@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_the_stream_of_a_key_that_is_no_longer_valid_ends(serve: Callable[..., Served], database: Database, how: str):
    """With the event `unauthorized`, within the time for which a key is cached; another key's stream goes on."""
    served = serve(long_polling=FAST, access={"key_cache": 0.2 * _SECOND})
    job_id = accept(database)
    soon = (datetime.now(UTC) + timedelta(seconds=2)).isoformat() if how == "expired" else None
    made = served.client.post("/keys", json={"name": "x", "scopes": ["read"], "expires_at": soon}).json()
    if how == "revoked":
        threading.Timer(0.5, served.client.delete, (f"/keys/{made['id']}",)).start()
    with httpx.Client(base_url=served.url, headers={"Authorization": f"Bearer {made['key']}"}, timeout=30) as reader:
        found = follow(Served(served.url, reader), job_id)
        assert reader.get(f"/attribute/{job_id}/events").status_code == 401
    assert found[-1]["event"] == "unauthorized"
    assert json.loads(found[-1]["data"])["type"] == "/problems/invalid-key"
    assert len(follow(served, job_id, many=4)) == 4


def test_too_many_streams_are_a_503(serve: Callable[..., Served], database: Database):
    """A client that disconnects frees its slot."""
    served, job_id = serve(long_polling={**FAST, "watchers": 1}), accept(database)
    with served.client.stream("GET", f"/attribute/{job_id}/events"):
        refused = served.client.get(f"/attribute/{job_id}/events")
        assert (refused.status_code, refused.json()["type"]) == (503, "/problems/overloaded")
        assert refused.headers["retry-after"]

    def is_served() -> bool:
        with served.client.stream("GET", f"/attribute/{job_id}/events") as answer:
            return answer.status_code == 200

    wait_until(is_served)


def test_a_client_that_does_not_accept_events_gets_a_406(serve: Callable[..., Served], database: Database):
    """406 for other media types, 404 for another tenant's job, and neither takes a slot."""
    served, job_id = serve(long_polling={"watchers": 1}), accept(database)
    for _ in range(2):
        refused = served.client.get(f"/attribute/{job_id}/events", headers={"Accept": "application/json"})
        assert (refused.status_code, refused.json()["type"]) == (406, "/problems/not-acceptable")
        assert served.client.get(f"/attribute/{uuid.uuid4()}/events").status_code == 404


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("", True),
        ("*/*", True),
        ("text/*", True),
        ("text/event-stream", True),
        ("Text/Event-Stream; charset=utf-8", True),
        ("application/json, text/event-stream;q=0.1", True),
        ("text/html, */*;q=0.01", True),
        ("application/json", False),
        ("text/html", False),
        ("text/event-stream;q=0", False),
        ("*/*, text/event-stream; q=0.000", False),
        ("text/*;q=0, */*", False),
        ("text/*;q=0, text/event-stream", True),
    ],
)
def test_accept_headers_are_understood(given: str, taken: bool):
    """The closest range decides, and a quality of zero refuses."""
    assert accepts(given, "text/event-stream") is taken
