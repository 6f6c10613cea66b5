"""`Prefer: wait` and ETags: a waiting request is woken by the end, costs little, and gets the current document."""

import asyncio
import threading
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from app.db.database import Database
from app.jobs.snapshots import Snapshots
from tests.app.api.conftest import Served
from tests.app.images import encoded
from tests.app.worker import accept, end, move
from tests.waiting import wait_until

_SECOND = timedelta(seconds=1)
IMAGE = {"image": encoded()}


def later(seconds: float, do: Callable[..., Any], *arguments: Any) -> threading.Timer:
    """Does something in a while."""
    timer = threading.Timer(seconds, do, arguments)
    timer.start()
    return timer


def get(served: Served, job_id: uuid.UUID, prefer: str | None = None, **headers: str) -> httpx.Response:
    """Polls a job."""
    given = {name.replace("_", "-"): value for name, value in headers.items()} | ({"prefer": prefer} if prefer else {})
    return served.client.get(f"/attribute/{job_id}", headers=given)


def test_a_waiting_get_responds_at_the_end(serve: Callable[..., Served], database: Database, snapshots: Snapshots):
    """Long before its time is over, with the ended job and Preference-Applied."""
    served, job_id = serve(long_polling={"check_every": 60 * _SECOND}), accept(database)
    later(0.5, end, database, snapshots, job_id)
    before = time.monotonic()
    answer = get(served, job_id, "wait=30")
    assert 0.4 < time.monotonic() - before < 5
    assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")
    assert (answer.headers["preference-applied"], answer.headers["vary"]) == ("wait=30", "Prefer")
    assert "retry-after" not in answer.headers


def test_a_waiting_get_responds_when_its_time_is_over(serve: Callable[..., Served], database: Database):
    """After the requested seconds, with the progress made meanwhile."""
    served, job_id = serve(), accept(database)
    later(0.3, move, database, job_id, "captioning")
    before = time.monotonic()
    answer = get(served, job_id, "wait=1")
    assert 0.9 < time.monotonic() - before < 5
    assert (answer.json()["status"], answer.json()["stage"]) == ("processing", "captioning")
    assert (answer.headers["preference-applied"], answer.headers["retry-after"]) == ("wait=1", "1")


def test_two_hundred_waiting_requests_are_woken_at_once(
    serve: Callable[..., Served], database: Database, snapshots: Snapshots
):
    """On one process; half of them for one job, the others for one each, and none after a look at Postgres."""
    served = serve(long_polling={"check_every": 60 * _SECOND})
    shared, own = accept(database), [accept(database) for _ in range(100)]

    async def wait() -> list[tuple[float, dict[str, Any]]]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            base_url=served.url, headers=served.client.headers, timeout=60, limits=limits
        ) as client:

            async def one(job_id: uuid.UUID) -> tuple[float, dict[str, Any]]:
                answer = await client.get(f"/attribute/{job_id}", headers={"prefer": "wait=60"})
                return time.monotonic(), answer.json()

            waiters = [asyncio.create_task(one(job_id)) for job_id in [shared] * 100 + own]
            await asyncio.sleep(3)
            assert not any(waiter.done() for waiter in waiters)
            for job_id in [shared, *own]:
                await asyncio.to_thread(end, database, snapshots, job_id)
            ended = time.monotonic()
            return [(at - ended, job) for at, job in await asyncio.gather(*waiters)]

    answers = asyncio.run(wait())
    assert {job["status"] for _, job in answers} == {"succeeded"}
    assert [job["id"] for _, job in answers] == [str(job_id) for job_id in [shared] * 100 + own]
    assert max(after for after, _ in answers) < 5


def test_without_redis_waiting_ends_too(serve: Callable[..., Served], database: Database):
    """Postgres is queried from time to time, once for all requests."""
    unreachable = {"url": SecretStr("redis://127.0.0.1:1/0"), "timeout": 0.2 * _SECOND}
    served, job_id = serve(redis=unreachable, long_polling={"check_every": 0.3 * _SECOND}), accept(database)
    later(0.5, end, database, None, job_id)
    before = time.monotonic()
    answer = get(served, job_id, "wait=30")
    assert time.monotonic() - before < 5
    assert (answer.json()["status"], answer.headers["preference-applied"]) == ("succeeded", "wait=30")


def test_an_end_that_was_not_published_is_found(serve: Callable[..., Served], database: Database):
    """A worker that dies between its commit and its message delays the response little; no stale snapshot is used."""
    served, job_id = serve(long_polling={"check_every": 0.3 * _SECOND}), accept(database)
    later(0.5, end, database, None, job_id)
    assert get(served, job_id, "wait=30").json()["status"] == "succeeded"


def test_waiting_survives_an_outage_of_redis(
    serve: Callable[..., Served], database: Database, snapshots: Snapshots, redis: Any
):
    """The subscription is renewed when its connection is lost."""
    served = serve(long_polling={"check_every": 60 * _SECOND})
    assert get(served, accept(database)).status_code == 200
    redis.client_kill_filter(_type="pubsub")
    wait_until(lambda: redis.pubsub_numsub("jobs:ended")[0][1], 10)
    job_id = accept(database)
    later(0.5, end, database, snapshots, job_id)
    assert get(served, job_id, "wait=30").json()["status"] == "succeeded"


def test_without_a_free_slot_the_response_comes_at_once(serve: Callable[..., Served], database: Database):
    """As without Prefer, and without Preference-Applied; a client that disconnects frees its slot."""
    served, job_id = serve(long_polling={"waiters": 1}), accept(database)
    with pytest.raises(httpx.ReadTimeout):
        served.client.get(f"/attribute/{job_id}", headers={"prefer": "wait=60"}, timeout=0.5)
    first = threading.Thread(target=get, args=(served, job_id, "wait=3"))
    time.sleep(0.5)
    first.start()
    time.sleep(0.5)
    before = time.monotonic()
    answer = get(served, job_id, "wait=30")
    assert time.monotonic() - before < 2
    assert "preference-applied" not in answer.headers
    assert answer.headers["vary"] == "Prefer"
    first.join()
    assert get(served, job_id, "wait=1").headers["preference-applied"] == "wait=1"


def test_a_waiting_post_responds_with_the_ended_job(
    serve: Callable[..., Served], database: Database, snapshots: Snapshots
):
    """200 with the ended job, and its Location."""
    served = serve()

    def work() -> None:
        listed = wait_until(lambda: served.client.get("/attribute").json()["jobs"])
        end(database, snapshots, uuid.UUID(listed[0]["id"]))

    later(0, work)
    answer = served.client.post("/attribute", files=IMAGE, headers={"prefer": "wait=30, respond-async"}, timeout=60)
    assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")
    assert answer.headers["location"] == f"/attribute/{answer.json()['id']}"
    assert answer.headers["preference-applied"] == "wait=30"
    assert get(served, uuid.UUID(answer.json()["id"])).content == answer.content


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        (None, None),
        ("respond-async", "respond-async"),
        ("respond-async, wait=1", "wait=1, respond-async"),
        ("wait=0", None),
    ],
)
def test_a_waiting_post_of_a_running_job_is_a_202(
    serve: Callable[..., Served], prefer: str | None, applied: str | None
):
    """With the preferences that were honored."""
    headers = {"prefer": prefer} if prefer else {}
    answer = serve().client.post("/attribute", files=IMAGE, headers=headers, timeout=30)
    assert (answer.status_code, answer.headers.get("preference-applied")) == (202, applied)
    assert (answer.headers["retry-after"], answer.headers["vary"]) == ("1", "Prefer")
    assert answer.headers["etag"]


def test_an_unchanged_job_is_a_304(serve: Callable[..., Served], database: Database, snapshots: Snapshots):
    """304 with the same headers while the bytes are the same, and the new bytes when they change."""
    served, job_id = serve(), accept(database)
    first = get(served, job_id)
    tag = first.headers["etag"]
    assert tag.startswith('"')
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = get(served, job_id, if_none_match=known)
        assert (again.status_code, again.content) == (304, b"")
        for name in ("etag", "vary", "cache-control", "retry-after"):
            assert again.headers[name] == first.headers[name]
    assert first.headers["cache-control"] == "private, no-cache"
    assert get(served, job_id, if_none_match='"other"').status_code == 200
    end(database, snapshots, job_id)
    changed = get(served, job_id, if_none_match=tag)
    assert (changed.status_code, changed.headers["etag"] != tag) == (200, True)
    assert get(served, job_id, if_none_match=changed.headers["etag"]).status_code == 304


def test_waiting_for_a_change_ends_with_the_next_stage(serve: Callable[..., Served], database: Database):
    """`Prefer: wait` with `If-None-Match`: progress ends the wait, and without any it is a 304."""
    served, job_id = serve(long_polling={"poll_every": 0.1 * _SECOND}), accept(database)
    tag = get(served, job_id).headers["etag"]
    same = get(served, job_id, "wait=1", if_none_match=tag)
    assert (same.status_code, same.headers["preference-applied"]) == (304, "wait=1")
    later(0.5, move, database, job_id, "captioning")
    before = time.monotonic()
    changed = get(served, job_id, "wait=30", if_none_match=tag)
    assert time.monotonic() - before < 5
    assert (changed.status_code, changed.json()["stage"]) == (200, "captioning")


def test_an_unknown_job_is_not_awaited(serve: Callable[..., Served]):
    """404 at once."""
    before = time.monotonic()
    assert get(serve(), uuid.uuid4(), "wait=30").status_code == 404
    assert time.monotonic() - before < 5


def test_a_job_that_is_deleted_ends_the_waiting(serve: Callable[..., Served], database: Database):
    """With 410, like every later request."""
    served, job_id = serve(), accept(database)
    later(0.5, served.client.delete, f"/attribute/{job_id}")
    for _ in range(2):
        answer = get(served, job_id, "wait=30")
        assert (answer.status_code, answer.json()["type"]) == (410, "/problems/deleted")
