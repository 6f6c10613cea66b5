"""Limits: requests of a key, open jobs of a tenant, open jobs of all tenants."""

import base64
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import anyio
import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import func, select, text, update

from app.access import key_repository
from app.access.identity import Identity, Scope
from app.access.key_repository import make_key
from app.access.volumes import DailyVolumes, Volume, today
from app.db.database import Database, connect
from app.db.models import DEFAULT_TENANT, ApiKey, Job, Tenant, TenantVolume
from app.settings import Settings
from tests.app.images import encoded

IMAGE = {"image": encoded()}
QUOTA = "https://iana.org/assignments/http-problem-types#quota-exceeded"
CAPACITY = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"


def test_every_response_has_the_limits(start: Callable[..., TestClient]):
    """Good or bad, with quoted names; the health endpoints, which have no limits, say none."""
    client = start(
        access={"requests_per_minute": 100, "concurrent_jobs": 7, "jobs_per_day": 50, "bytes_per_day": 9_000}
    )
    for number, path in enumerate(("/sources", "/nowhere", "/attribute/42", "/keys"), start=1):
        answer = client.get(path)
        assert answer.headers["ratelimit-policy"] == (
            '"requests";q=100;w=60, "jobs";q=7;qu="concurrent-requests", '
            '"daily-jobs";q=50;w=86400, "daily-bytes";q=9000;w=86400;qu="content-bytes"'
        )
        found = re.fullmatch(
            r'"requests";r=(\d+);t=(\d+), "daily-jobs";r=50;t=\d+, "daily-bytes";r=9000;t=\d+',
            answer.headers["ratelimit"],
        )
        assert found is not None
        assert int(found[1]) in (100 - number, 99)  # a new minute may begin in between
        assert 1 <= int(found[2]) <= 60
    assert "ratelimit" not in client.get("/livez").headers


@pytest.mark.parametrize("redis_unavailable", [False, True])
def test_a_key_above_its_rate_limit_is_refused(
    start: Callable[..., TestClient], database: Database, redis_unavailable: bool
):
    """429 of the registered type with `Retry-After`, before the body is read; also with Redis unavailable."""
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
    assert refused.headers["ratelimit"].startswith(f'"requests";r=0;t={refused.headers["retry-after"]}, ')
    assert client.post("/attribute", content=b"not a form").status_code == 429


def test_the_limit_of_a_key_overrides_the_tenants(start: Callable[..., TestClient], database: Database, key: str):
    """What the key's row says counts, else what the tenant's says."""
    with database.transaction() as session:
        session.execute(update(Tenant).values(requests_per_minute=20, concurrent_jobs=3))
    assert start().get("/sources").headers["ratelimit-policy"].startswith('"requests";q=20;w=60, "jobs";q=3;')
    with database.transaction() as session:
        session.execute(update(ApiKey).values(requests_per_minute=30))
    assert start().get("/sources").headers["ratelimit-policy"].startswith('"requests";q=30;w=60, ')


def test_the_limit_of_open_jobs_is_exact(start: Callable[..., TestClient], database: Database):
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


def test_the_limit_of_open_jobs_applies_before_the_upload(start: Callable[..., TestClient], database: Database):
    """Once the open jobs have been counted, not even a form is asked for."""
    client = start(access={"concurrent_jobs": 1})
    assert client.post("/attribute", files=IMAGE).status_code == 202
    client.portal.call(client.app_state["capacity"].invalidate)
    refused = client.post("/attribute", content=b"not a form")
    assert (refused.status_code, refused.json()["violated-policies"]) == (429, ["jobs"])


@pytest.mark.parametrize("too_long", ["many", "old"])
def test_long_queues_refuse_new_jobs(start: Callable[..., TestClient], database: Database, too_long: str):
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


def test_tenants_have_separate_limits(start: Callable[..., TestClient], database: Database):
    """The places are a tenant's own, by its own number where it has one."""
    with database.transaction() as session:
        session.add(Tenant(name="full", concurrent_jobs=1))
        session.flush()
        session.execute(update(Tenant).where(Tenant.id == DEFAULT_TENANT).values(concurrent_jobs=2))
    client = start(access={"concurrent_jobs": 1})
    assert [client.post("/attribute", files=IMAGE).status_code for _ in range(3)] == [202, 202, 429]


@pytest.fixture
def others_key(database: Database) -> dict[str, str]:
    """The header with a key of another tenant."""
    new = make_key()
    with database.transaction() as session:
        tenant = Tenant(name="another")
        session.add(tenant)
        session.flush()
        key_repository.insert(session, tenant.id, new, "another's", Scope, None, None)
    return {"Authorization": f"Bearer {new.text}"}


def test_a_job_that_waits_is_no_other_tenants_trouble(
    client: TestClient, database: Database, others_key: dict[str, str]
):
    """A tenant whose job has not begun for six minutes is refused until it has; another one is not."""
    assert client.post("/attribute", files=IMAGE).status_code == 202
    with database.transaction() as session:
        session.execute(update(Job).values(created_at=func.now() - text("interval '6 minutes'")))
    client.portal.call(client.app_state["capacity"].invalidate)
    refused = client.post("/attribute", files=IMAGE)
    assert (refused.status_code, refused.json()["type"]) == (503, CAPACITY)
    assert client.post("/attribute", files=IMAGE, headers=others_key).status_code == 202


def test_a_full_queue_refuses_those_with_more_than_their_share(
    start: Callable[..., TestClient], others_key: dict[str, str]
):
    """One tenant fills it; another one gets half as many places, which is its share, and then is refused, too."""
    client = start(job={"max_open": 6}, access={"key_cache": timedelta(milliseconds=1)})

    def post(headers: dict[str, str]) -> int:
        client.portal.call(client.app_state["capacity"].invalidate)
        return client.post("/attribute", files=IMAGE, headers=headers).status_code

    assert [post({}) for _ in range(7)] == [202] * 6 + [503]
    assert [post(others_key) for _ in range(4)] == [202] * 3 + [503]
    assert post({}) == 503


def test_jobs_of_a_day_are_limited(client: TestClient, database: Database, others_key: dict[str, str]):
    """Each accepted job counts, in a batch and deleted ones, too; the tenant's own limit holds for it alone."""
    with database.transaction() as session:
        session.execute(update(Tenant).where(Tenant.id == DEFAULT_TENANT).values(jobs_per_day=4))
    first = client.post("/attribute", files=IMAGE)
    assert client.post(first.headers["location"] + "/cancel").status_code == 200
    assert client.delete(first.headers["location"]).status_code == 204
    item = {"image": base64.b64encode(encoded()).decode()}
    statuses = [each["status"] for each in client.post("/attribute/batch", json={"items": [item] * 5}).json()["items"]]
    assert statuses == [202] * 3 + [429] * 2
    refused = client.post("/attribute", content=b"not a form")
    assert refused.status_code == 429
    assert (refused.json()["type"], refused.json()["violated-policies"]) == (QUOTA, ["daily-jobs"])
    assert refused.headers.get_list("ratelimit")[0].startswith('"daily-jobs";r=0;t=')
    assert 1 <= int(refused.headers["retry-after"]) <= 86_400
    assert '"daily-jobs";r=0;' in client.get("/sources").headers["ratelimit"]
    assert client.post("/attribute", files=IMAGE, headers=others_key).status_code == 202


def test_bytes_of_a_day_are_limited(start: Callable[..., TestClient], others_key: dict[str, str]):
    """Those of every request body, also of one that was refused; after that many, nothing is uploaded."""
    client = start(access={"bytes_per_day": 10_000})
    read = client.post("/attribute", content=bytes(10_000), headers={"Content-Type": "application/json"})
    assert read.status_code == 400
    refused = client.post("/attribute", files=IMAGE)
    assert (refused.status_code, refused.json()["violated-policies"]) == (429, ["daily-bytes"])
    awaited = client.post("/attribute/00000000-0000-7000-8000-00000000abcd/references/ant", files=IMAGE)
    assert (awaited.status_code, awaited.json()["violated-policies"]) == (429, ["daily-bytes"])
    assert client.get("/attribute").status_code == 200
    assert client.post("/attribute", files=IMAGE, headers=others_key).status_code == 202


def test_processes_count_a_day_together(start: Callable[..., TestClient], database: Database):
    """What one has counted the other knows a second later, and after a restart."""
    one, other = start(access={"jobs_per_day": 4}), start(access={"jobs_per_day": 4})
    assert [each.post("/attribute", files=IMAGE).status_code for each in (one, other, one)] == [202] * 3

    for client in (one, other, one):
        client.portal.call(client.app_state["volumes"]._exchange, today())
    assert [client.post("/attribute", files=IMAGE).status_code for client in (one, one)] == [202, 429]
    for client in (one, other):
        client.portal.call(client.app_state["volumes"]._exchange, today())
    assert other.post("/attribute", files=IMAGE).status_code == 429
    with database.transaction() as session:
        assert session.scalars(select(TenantVolume.jobs)).one() == 4


def test_what_postgres_did_not_take_is_counted_later(settings: Settings, database: Database):
    """A volume that could not be written is not lost."""
    silent = settings.database.model_copy(update={"url": SecretStr("postgresql://app:secret@127.0.0.1:9/app")})
    volumes = DailyVolumes(Database(connect(silent)), settings.access)
    caller = Identity(DEFAULT_TENANT, "test", frozenset())
    volumes.add(DEFAULT_TENANT, jobs=2, size=5)
    anyio.run(volumes.check, caller)
    volumes.add(DEFAULT_TENANT, jobs=1)
    assert volumes.used(DEFAULT_TENANT) == Volume(3, 5)
    volumes._database = database
    volumes._exchange_at = 0.0
    anyio.run(volumes.check, caller)
    with database.transaction() as session:
        assert session.execute(select(TenantVolume.jobs, TenantVolume.bytes)).one() == (3, 5)
    assert volumes.used(DEFAULT_TENANT) == Volume(3, 5)
