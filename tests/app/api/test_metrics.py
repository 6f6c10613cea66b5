"""GET /metrics: both formats, the token, what is counted, and what looking at the stores costs."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from redis.exceptions import RedisError
from sqlalchemy import text

from app.api.store_gauges import STEPS_SQL, StoreGauges
from app.db import bank_repository
from app.db.database import Database
from app.db.models import DEFAULT_TENANT
from app.queue.heartbeats import Heartbeats
from tests.app.images import encoded

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def samples(client: TestClient) -> dict[tuple[str, ...], float]:
    """Every sample's value by its name and labels' values, in alphabetical order of the labels."""
    families = parse_openmetrics(client.get("/metrics", headers={"Accept": OPENMETRICS}).text)
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_openmetrics_are_served_where_accepted(client: TestClient) -> None:
    """The media type is OpenMetrics 1.0.0's, the text parses as such and ends as it must."""
    answer = client.get("/metrics", headers={"Accept": f"{OPENMETRICS},text/plain;version=0.0.4;q=0.5,*/*;q=0.1"})
    assert answer.headers["Content-Type"].startswith(OPENMETRICS)
    assert answer.text.endswith("# EOF\n")
    assert list(parse_openmetrics(answer.text))


def test_other_scrapers_get_prometheus_text(client: TestClient) -> None:
    """Without a wish it is the format that everything reads."""
    answer = client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert list(parse_text(answer.text))


def test_drift_is_read_from_the_snapshots(client: TestClient, database: Database) -> None:
    """By source; of several revisions and feature spaces the greatest counts."""
    with database.transaction() as session:
        for space, drift in (("one", {"ant@1": 1.5, "ant@2": 4.0}), ("two", {"ant@2": 2.0, "bee@1": 0.5})):
            bank_repository.upsert_snapshot(session, space, version="v", data=b"", jobs={}, drift=drift)
    client.app_state["gauges"][0]._read_at = 0.0  # not what was read a moment ago looked at again
    assert {name[1]: value for name, value in samples(client).items() if name[0] == "bank_drift"} == {
        "ant": 4.0,
        "bee": 0.5,
    }


@pytest.mark.parametrize(("given", "status"), [("", 401), ("Bearer wrong", 401), ("Bearer pass", 200)])
def test_a_configured_token_is_required(start: Callable[..., TestClient], given: str, status: int) -> None:
    """With METRICS__TOKEN set the token is required."""
    from pydantic import SecretStr

    answer = start(metrics={"token": SecretStr("pass"), "open": False}).get(
        "/metrics", headers={"Authorization": given}
    )
    assert answer.status_code == status
    assert ("attribution_jobs" in answer.text) == (status == 200)


def test_requests_are_counted_by_template(client: TestClient) -> None:
    """No id, unknown path or unknown method becomes a label."""
    before = samples(client)
    client.get("/attribute/00000000-0000-7000-8000-00000000dead?secret=1")
    client.get("/nowhere/at/all")
    client.request("BREW", "/livez")
    after = samples(client)
    new = {name: count - before.get(name, 0) for name, count in after.items() if name[0] == "http_requests_total"}
    assert new["http_requests_total", "GET", "/attribute/{job_id}", "404"] == 1
    assert new["http_requests_total", "GET", "unmatched", "404"] == 1
    assert sum(count for name, count in new.items() if name[1] == "other") == 1
    assert not any("dead" in part or "nowhere" in part for name in after for part in name)


def test_an_accepted_job_is_counted_and_waits(client: TestClient) -> None:
    """Acceptance, the queue that it waits in and for how long; and stores that answer."""
    before = samples(client).get(("attribution_jobs_total", "accepted"), 0)
    assert client.post("/attribute", files={"image": encoded()}).status_code == 202
    client.app_state["gauges"][0]._read_at = 0.0  # not what was read a moment ago looked at again
    after = samples(client)
    assert after["attribution_jobs_total", "accepted"] == before + 1
    assert after["attribution_jobs_open", "screening"] == 1
    assert after["queue_depth", "screen"] == 1
    assert 0 <= after["queue_oldest_age_seconds", "screen"] < 60
    assert after["queue_depth", "local.ant"] == 0
    assert after["workers_warm", "light"] == 0
    assert after["dependency_up", "postgres"] == after["dependency_up", "redis"] == 1
    assert after["image_decode_duration_seconds_count",] >= 1


def test_ended_jobs_cost_nothing(database: Database) -> None:
    """However many have ended, they are not looked at: what is open has an index of its own."""
    with database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO jobs (tenant_id, status, stage, images_per_source, deadline_at, completed_at) "
                "SELECT :tenant, 'succeeded', NULL, 1, now(), now() FROM generate_series(1, 20000)"
            ),
            {"tenant": DEFAULT_TENANT},
        )
        session.execute(text("ANALYZE jobs"))
        plan = "\n".join(session.scalars(text(f"EXPLAIN ANALYZE {STEPS_SQL}")))
        session.rollback()
    assert "Seq Scan on jobs" not in plan
    assert "ix_jobs_" in plan
    assert "rows=20000" not in plan


def test_unavailable_stores_are_reported(database: Database, redis) -> None:
    """A scrape does not fail because a store does."""

    class Unavailable(Heartbeats):
        def warm(self, roles):
            raise RedisError

    database.engine.dispose()
    gauges = StoreGauges(database, Unavailable(redis), ["remote"])
    found = {family.name: family for family in gauges.collect()}
    assert {sample.labels["dependency"]: sample.value for sample in found["dependency_up"].samples} == {
        "postgres": 1,
        "redis": 0,
    }
    assert not found["workers_warm"].samples


def test_many_scrapes_are_one_query(database: Database, redis) -> None:
    """A second scrape within seconds gets the same gauges."""
    gauges = StoreGauges(database, Heartbeats(redis), ["remote"])
    assert gauges.collect() is gauges.collect()
