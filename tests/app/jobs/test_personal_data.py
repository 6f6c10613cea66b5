"""Personal data: every column is classified, and what is marked is cleared in a real row."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Boolean, DateTime, Table, Uuid, insert, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from app.db.database import Database, connect
from app.db.models import DEFAULT_TENANT, Base, Clearing, Job, JobSource
from app.db.types import ExternalScores, ImageRecord, MethodOptions, RaceRecord
from app.jobs import retention_repository
from app.settings import Settings
from attribution.ports import Aggregate, DistanceName
from attribution.race import RaceRound
from tests.conftest import clear

# Columns that hold no personal data of a job: who owns the row, when, how often, what state, what it cost, what the
# installation and its tenants configured. A new column is put here, or marked in the mapper.
NOT_PERSONAL = {
    "active_pipelines": "part fingerprint activated_at",
    "api_keys": "id tenant_id name prefix sha256 scopes requests_per_minute created_at expires_at revoked_at "
    "last_used_at",
    "audit_log": "id tenant_id at actor action subject request_id detail",
    "bank_bases": "space version length data created_at",
    "bank_contributions": "job_id tenant_id space sources counts features length basis job_created_at contributed_at",
    "bank_snapshots": "space version data jobs drift compiled_at",
    "blobs": "tenant_id sha256 size media_type created_at deleted_at due_at",
    "blob_references": "job_id role tenant_id sha256 generated_at",
    "feedback": "job_id tenant_id created_at",
    "hash_lists": "id tenant_id name max_distance created_at updated_at",
    "hash_list_entries": "list_id pdq tags",
    "idempotency_keys": "tenant_id key fingerprint owner lease_until status headers job_id created_at expires_at",
    "job_sources": "job_id source tenant_id position family platform model revision queue timeout_seconds origin state "
    "reason warning timeout_at started_at completed_at next_attempt_at attempt lease_until requeued_at requeues",
    "jobs": "id tenant_id status stage stage_entered_at images_per_source cancel_at local_only budget_usd spent_usd "
    "calls notify timings schema_version created_at started_at completed_at deadline_at cache contributes "
    "images_deleted_at captions_deleted_at deleted_at attempt lease_until requeued_at requeues",
    "source_calls": "id tenant_id job_id source k number images external sent reserved_usd settled_usd outcome "
    "created_at settled_at",
    "tenant_volumes": "day tenant_id jobs bytes",
    "tenants": "id name created_at disabled_at requests_per_minute concurrent_jobs jobs_per_day bytes_per_day "
    "retain_images retain_captions retain_results budget_usd max_budget_usd local_only contribute webhook_secret",
    "text_rules": "id tenant_id name kind pattern created_at",
    "webhook_attempts": "delivery_id number started_at seconds status error response",
    "webhook_deliveries": "id tenant_id job_id endpoint_id type sequence state attempts next_attempt_at lease_until "
    "created_at completed_at",
    "webhook_endpoints": "id tenant_id url description events secrets created_at disabled_at disabled_reason "
    "failing_since",
}
# Columns of rows that are deleted with their job, and that hold personal data until then.
IN_DELETED_ROWS = {
    "feedback": "source in_catalog note",
    "webhook_deliveries": "url payload",
}


@pytest.fixture
def session(settings: Settings) -> Iterator[Session]:
    """A session whose rows are removed afterwards."""
    database = Database(connect(settings.database))
    with database.transaction() as opened:
        yield opened
    clear(database)
    database.close()


@pytest.mark.parametrize("table", Base.metadata.sorted_tables, ids=lambda table: table.name)
def test_every_column_is_classified(table: Table) -> None:
    """A column is marked as personal, is in a row that goes with its job, or stands in the list of all others."""
    marked = {column.name for column in table.columns if "personal" in column.info}
    others = set(NOT_PERSONAL[table.name].split())
    in_rows = set(IN_DELETED_ROWS.get(table.name, "").split())
    assert not in_rows or table.info["deleted_with_job"]
    assert {column.name for column in table.columns} == marked | others | in_rows
    assert marked.isdisjoint(others | in_rows)


def sample(column: Any) -> Any:
    """A value that the column takes."""
    if column.name == "method_options":
        return MethodOptions(DistanceName.COSINE, Aggregate.MEAN)
    if column.name == "external_scores":
        return ExternalScores({"hare": 1.0}, 0.5)
    if column.name == "race":
        return RaceRecord((RaceRound(1, ("hare",)),), {})
    if column.name == "result":
        return {"caption": "a hare", "margin": 1.0}
    if isinstance(column.type, Uuid):
        return uuid.uuid4()
    if isinstance(column.type, DateTime):
        return datetime.now(UTC)
    if isinstance(column.type, JSONB):
        return {"a": "hare"}
    return {str: "a hare", int: 7}[column.type.python_type]


@pytest.fixture
def job_id(session: Session) -> uuid.UUID:
    """A job all of whose personal columns have a value, and a source with an image whose prompt was rewritten."""
    columns = {column: sample(column) for column in Job.__table__.columns if "personal" in column.info}
    values = {column.name: value for column, value in columns.items()}
    required = {"tenant_id": DEFAULT_TENANT, "images_per_source": 1, "deadline_at": datetime.now(UTC)}
    made: uuid.UUID = session.execute(
        insert(Job)
        .values({Job.__table__.c[name]: value for name, value in (values | required).items()})
        .returning(Job.id)
    ).scalar_one()
    image = ImageRecord(0, 7, "f" * 64, "a hare, rewritten")
    session.add(
        JobSource(
            **dict.fromkeys(("source", "family", "platform", "model", "revision", "queue"), "-"),
            job_id=made,
            tenant_id=DEFAULT_TENANT,
            position=0,
            timeout_seconds=1.0,
            generated_images=[image],
        )
    )
    session.flush()
    return made


@pytest.mark.parametrize("clearing", Clearing)
def test_what_is_marked_is_cleared_and_nothing_else(session: Session, job_id: uuid.UUID, clearing: Clearing) -> None:
    """Of a row with a value in every personal column exactly the marked ones are null afterwards."""
    retention_repository.clear_personal_data(session, clearing, [job_id])
    row = session.execute(select(Job.__table__).where(Job.__table__.c.id == job_id)).mappings().one()
    for column in Job.__table__.columns:
        mark = column.info.get("personal", {}).get(clearing)
        if mark == "NULL":
            assert row[column.name] is None, column.name
        elif "personal" in column.info and not isinstance(column.type, Boolean):
            assert row[column.name] is not None, column.name


def test_a_deleted_caption_is_in_no_result_and_no_prompt(session: Session, job_id: uuid.UUID) -> None:
    """Where only a part of a column is personal the rest of it stays."""
    retention_repository.clear_personal_data(session, Clearing.CAPTIONS, [job_id])
    session.expire_all()
    assert session.get_one(Job, job_id).result == {"caption": None, "margin": 1.0}
    source = session.scalars(select(JobSource).where(JobSource.job_id == job_id)).one()
    assert source.generated_images == (ImageRecord(0, 7, "f" * 64),)


def test_a_deleted_job_has_no_sources(session: Session, job_id: uuid.UUID) -> None:
    """Rows of tables that are marked so are deleted with their job."""
    retention_repository.clear_personal_data(session, Clearing.DELETION, [job_id])
    assert session.execute(text("SELECT count(*) FROM job_sources")).scalar_one() == 0
