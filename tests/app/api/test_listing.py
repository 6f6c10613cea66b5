"""GET /attribute: every job of the tenant once, newest first, whatever comes in meanwhile; and no one else's."""

import base64
import uuid
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from app.db.database import Database
from app.db.models import DEFAULT_TENANT, JobStatus, Tenant
from app.jobs.listing import ListingFilter, Position, list_for_tenant
from tests.app.worker import accept, end, move


def pages(client: TestClient, **filters: Any) -> list[list[dict[str, Any]]]:
    """All pages, by the cursor in the body, which the Link header repeats."""
    found, cursor = [], None
    while True:
        answer = client.get("/attribute", params=filters | ({"cursor": cursor} if cursor else {}))
        assert answer.status_code == 200, answer.text
        found.append(answer.json()["jobs"])
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            assert "link" not in answer.headers
            return found
        target, relation = answer.headers["link"].split("; ")
        assert relation == 'rel="next"'
        assert parse_qs(urlsplit(target[1:-1]).query)["cursor"] == [cursor]


def ids(found: list[list[dict[str, Any]]]) -> list[str]:
    """Of all jobs on all pages."""
    return [job["id"] for each in found for job in each]


def test_pages_hold_every_job_once_newest_first(client: TestClient, database: Database):
    """Jobs that come in between two pages disturb neither."""
    accepted = [str(accept(database)) for _ in range(7)]
    assert [len(each) for each in pages(client, limit=3)] == [3, 3, 1]
    assert ids(pages(client, limit=3)) == accepted[::-1]
    assert ids(pages(client, limit=7)) == accepted[::-1]
    first = client.get("/attribute", params={"limit": 4}).json()
    accept(database)
    second = client.get("/attribute", params={"limit": 4, "cursor": first["next_cursor"]}).json()
    assert ids([first["jobs"], second["jobs"]]) == accepted[::-1]
    assert second["next_cursor"] is None


def test_jobs_of_the_same_moment_have_an_order(client: TestClient, database: Database):
    """Their ids decide the order."""
    accepted = [accept(database) for _ in range(5)]
    with database.transaction() as session:
        session.execute(text("UPDATE jobs SET created_at = '2026-01-01T00:00:00.000001Z'"))
    assert ids(pages(client, limit=2)) == [str(job_id) for job_id in sorted(accepted, reverse=True)]


def test_a_summary_has_what_a_list_needs(client: TestClient, database: Database):
    """And the verdict's head, not the ranking."""
    job_id = accept(database, external_id="post-17")
    end(database, None, job_id)
    (job,) = client.get("/attribute").json()["jobs"]
    assert {name: job[name] for name in ("id", "status", "stage", "external_id", "verdict")} == {
        "id": str(job_id),
        "status": "succeeded",
        "stage": None,
        "external_id": "post-17",
        "verdict": {"kind": "inconclusive", "source": None, "reason": "no_quorum"},
    }
    assert job["completed_at"] > job["created_at"]


def test_filters_choose_among_the_jobs(client: TestClient, database: Database):
    """By status, several of them too, by the caller's own id, by time, and by all at once."""
    queued, working, done, failed = (accept(database, external_id=name) for name in ("a", "b", "a", "a"))
    move(database, working, "captioning")
    end(database, None, done)
    end(database, None, failed, "failed")

    def found(**filters: Any) -> list[str]:
        return ids(pages(client, limit=1, **filters))

    assert found(status="queued") == [str(queued)]
    assert found(status=["failed", "queued", "failed"]) == [str(failed), str(queued)]
    assert found(status="canceled") == []
    assert found(external_id="a") == [str(failed), str(done), str(queued)]
    assert found(external_id="a", status=["succeeded", "processing"]) == [str(done)]
    moments = {job["id"]: job["created_at"] for job in client.get("/attribute").json()["jobs"]}
    assert found(created_after=moments[str(working)]) == [str(failed), str(done)]
    assert found(created_before=moments[str(working)]) == [str(queued)]
    assert found(created_after=moments[str(queued)], created_before=moments[str(failed)], status="succeeded") == [
        str(done)
    ]


def test_deleted_jobs_and_other_tenants_are_not_listed(client: TestClient, database: Database):
    """A tombstone is answered to who knows its id; a list is of what there is."""
    kept, deleted = accept(database), accept(database)
    with database.transaction() as session:
        other = Tenant(name="other")
        session.add(other)
        session.flush()
    foreign = accept(database, other.id)
    assert client.delete(f"/attribute/{deleted}").status_code == 204
    for filters in ({}, {"status": ["queued", "canceled"]}):
        assert ids(pages(client, **filters)) == [str(kept)]
    assert str(foreign) not in client.get("/attribute").text


def test_a_cursor_of_another_listing_is_refused(client: TestClient, database: Database):
    """Forged, cut, altered, or of a listing with other filters: a 422 that points at it."""
    for _ in range(3):
        accept(database)
    cursor = client.get("/attribute", params={"limit": 1}).json()["next_cursor"]
    raw = base64.urlsafe_b64decode(cursor)
    altered = base64.urlsafe_b64encode(bytes([raw[0] ^ 1]) + raw[1:]).decode()
    for wrong in ("", "x", "é", "\0", cursor[:-4], cursor + "AAAA", cursor + " ", altered, "A" * 44, "A" * 5_000):
        answer = client.get("/attribute", params={"cursor": wrong})
        assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "cursor"), wrong
    assert client.get("/attribute", params={"cursor": cursor, "status": "queued"}).status_code == 422
    assert client.get("/attribute", params={"cursor": cursor, "limit": 50}).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": 0},
        {"limit": 101},
        {"status": "done"},
        {"external_id": "a\0b"},
        {"created_after": "yesterday"},
        {"created_before": "2026-01-01T00:00:00"},
    ],
)
def test_an_invalid_parameter_is_named(client: TestClient, wrong: dict[str, Any]):
    """A 422 that says which; a time without its offset is not a time."""
    answer = client.get("/attribute", params=wrong)
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, next(iter(wrong)))


def test_extreme_times_are_accepted(client: TestClient):
    """Nothing overflows."""
    for moment in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        for name in ("created_after", "created_before"):
            assert client.get("/attribute", params={name: moment}).status_code == 200


@pytest.mark.parametrize(
    "wanted",
    [
        ListingFilter(),
        ListingFilter((JobStatus.SUCCEEDED,)),
        ListingFilter((JobStatus.FAILED,)),
        ListingFilter((JobStatus.FAILED, JobStatus.PROCESSING, JobStatus.SUCCEEDED)),
        ListingFilter(external_id="rare"),
        ListingFilter(external_id="common"),
        ListingFilter(created_before=datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize("start", [None, Position(datetime(2026, 1, 1, 5, tzinfo=UTC), uuid.UUID(int=2**128 - 1))])
def test_a_page_costs_the_same_however_long_the_list_is(
    database: Database, wanted: ListingFilter, start: Position | None
):
    """Of thirty thousand jobs, among them ten thousand tombstones at the far end, a page reads a few dozen blocks."""
    with database.engine.connect() as connection, Session(connection) as session:  # rolled back at the end
        session.execute(_MANY, {"tenant": DEFAULT_TENANT})
        session.execute(text("ANALYZE jobs"))
        statements: list[tuple[str, Any]] = []

        def keep(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
            statements.append((statement, parameters))

        event.listen(connection, "before_cursor_execute", keep)
        list_for_tenant(session, DEFAULT_TENANT, wanted, start, 11)
        event.remove(connection, "before_cursor_execute", keep)
        ((statement, parameters),) = statements
        explained = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters)
        plan = explained.scalar_one()[0]["Plan"]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 150, plan


# A job a second; the oldest third is deleted. Failed ones, and a caller's rare id, are among the oldest that are left.
_MANY = text(
    """
    INSERT INTO jobs (tenant_id, status, stage, images_per_source, deadline_at, created_at, completed_at, deleted_at,
                      external_id)
    SELECT :tenant, CASE WHEN n < 10020 THEN 'failed' ELSE 'succeeded' END, NULL, 1, now(),
           timestamptz '2026-01-01Z' + n * interval '1 second', now(), CASE WHEN n < 10000 THEN now() END,
           CASE WHEN n < 10000 THEN NULL WHEN n < 10050 THEN 'rare' ELSE 'common' END
    FROM generate_series(1, 30000) n
    """
)
