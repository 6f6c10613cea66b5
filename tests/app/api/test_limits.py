"""How much may be asked: requests of a key, open jobs of a tenant, jobs of everybody."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import func, select, text, update

from app.db.database import Database
from app.db.models import DEFAULT_TENANT, ApiKey, Job, Tenant
from tests.app.images import encoded

IMAGE = {"image": encoded()}
QUOTA = "https://iana.org/assignments/http-problem-types#quota-exceeded"
CAPACITY = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"


def test_every_answer_says_the_limits(start: Callable[..., TestClient]):
    """Good or bad, with quoted names; the health endpoints, which have no limits, say none."""
    client = start(access={"requests_per_minute": 100, "concurrent_jobs": 7})
    for number, path in enumerate(("/sources", "/nowhere", "/attribute/42", "/keys"), start=1):
        answer = client.get(path)
        assert answer.headers["ratelimit-policy"] == '"requests";q=100;w=60, "jobs";q=7;qu="concurrent-requests"'
        found = re.fullmatch(r'"requests";r=(\d+);t=(\d+)', answer.headers["ratelimit"])
        assert found is not None
        assert int(found[1]) in (100 - number, 99)  # a new minute may begin in between
        assert 1 <= int(found[2]) <= 60
    assert "ratelimit" not in client.get("/livez").headers


@pytest.mark.parametrize("redis_unavailable", [False, True])
def test_a_key_that_made_its_requests_waits(
    start: Callable[..., TestClient], database: Database, redis_unavailable: bool
):
    """429 of the registered type, `Retry-After` that agrees, and not even a body is looked at; with Redis away, too."""
    groups: dict[str, Any] = {"redis": {"url": SecretStr("redis://127.0.0.1:9/0")}} if redis_unavailable else {}
    client = start(**groups)
    with database.transaction() as session:
        session.execute(update(ApiKey).values(requests_per_minute=3))
    answers = [client.get("/sources") for _ in range(7)]  # more than twice as many, should a new minute begin
    assert answers[0].status_code == 200
    refused = answers[-1]
    assert refused.status_code == 429
    problem = refused.json()
    assert (problem["type"], problem["violated-policies"]) == (QUOTA, ["requests"])
    assert refused.headers["ratelimit"] == f'"requests";r=0;t={refused.headers["retry-after"]}'
    assert client.post("/attribute", content=b"not a form").status_code == 429


def test_a_key_comes_before_its_tenant(start: Callable[..., TestClient], database: Database, key: str):
    """What the key's row says counts, else what the tenant's says."""
    with database.transaction() as session:
        session.execute(update(Tenant).values(requests_per_minute=20, concurrent_jobs=3))
    assert start().get("/sources").headers["ratelimit-policy"].startswith('"requests";q=20;w=60, "jobs";q=3;')
    with database.transaction() as session:
        session.execute(update(ApiKey).values(requests_per_minute=30))
    assert start().get("/sources").headers["ratelimit-policy"].startswith('"requests";q=30;w=60, ')


def test_fifty_posts_at_once_fill_the_places_exactly(start: Callable[..., TestClient], database: Database):
    """Ten places: ten jobs, forty refusals. A place that becomes free is taken at once."""
    client = start(access={"concurrent_jobs": 10})
    with ThreadPoolExecutor(50) as callers:
        answers = list(callers.map(lambda _: client.post("/attribute", files=IMAGE), range(50)))
    assert sorted(answer.status_code for answer in answers) == [202] * 10 + [429] * 40
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert (refused.json()["type"], refused.json()["violated-policies"]) == (QUOTA, ["jobs"])
    assert refused.headers["retry-after"] == "1"
    assert refused.headers.get_list("ratelimit")[0] == '"jobs";r=0;t=1'
    assert refused.headers.get_list("ratelimit")[1].startswith('"requests";')
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 10
    accepted = next(answer for answer in answers if answer.status_code == 202)
    assert client.post(accepted.headers["location"] + "/cancel").status_code == 200
    assert [client.post("/attribute", files=IMAGE).status_code for _ in range(2)] == [202, 429]


def test_a_tenant_that_is_full_is_told_before_it_uploads(start: Callable[..., TestClient], database: Database):
    """Once the open jobs have been counted, not even a form is asked for."""
    client = start(access={"concurrent_jobs": 1})
    assert client.post("/attribute", files=IMAGE).status_code == 202
    client.portal.call(client.app_state["capacity"].invalidate)
    refused = client.post("/attribute", content=b"not a form")
    assert (refused.status_code, refused.json()["violated-policies"]) == (429, ["jobs"])


@pytest.mark.parametrize("too_long", ["many", "old"])
def test_when_the_queues_are_too_long_nothing_is_taken(
    start: Callable[..., TestClient], database: Database, too_long: str
):
    """503 of the registered type with `Retry-After`, before the body is read, while everything else still answers."""
    client = start(job={"max_open": 1} if too_long == "many" else {})
    location = client.post("/attribute", files=IMAGE).headers["location"]
    if too_long == "old":
        with database.transaction() as session:
            session.execute(update(Job).values(created_at=func.now() - text("interval '6 minutes'")))
    client.portal.call(client.app_state["capacity"].invalidate)
    refused = client.post("/attribute", content=b"not a form")
    assert refused.status_code == 503
    assert (refused.json()["type"], refused.json()["violated-policies"]) == (CAPACITY, ["queue"])
    assert refused.headers["retry-after"] == "5"
    assert '"queue";r=0;t=5' in refused.headers["ratelimit"]
    assert client.get(location).status_code == 200
    assert client.post(location + "/cancel").status_code == 200
    client.portal.call(client.app_state["capacity"].invalidate)
    assert client.post("/attribute", files=IMAGE).status_code == 202


def test_tenants_do_not_fill_each_others_places(start: Callable[..., TestClient], database: Database):
    """The places are a tenant's own, by its own number where it has one."""
    with database.transaction() as session:
        session.add(Tenant(name="full", concurrent_jobs=1))
        session.flush()
        session.execute(update(Tenant).where(Tenant.id == DEFAULT_TENANT).values(concurrent_jobs=2))
    client = start(access={"concurrent_jobs": 1})
    assert [client.post("/attribute", files=IMAGE).status_code for _ in range(3)] == [202, 202, 429]
