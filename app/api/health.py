"""What a supervisor asks: alive? ready? Ready means that jobs can be accepted; anything else amiss is `degraded`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum

import structlog
from fastapi import APIRouter
from pydantic import Field
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from app.api.dependencies import Catalog, Database, Heartbeats
from app.api.openapi import problems
from app.db import migrations
from app.documents import Document
from app.errors import NotReady
from app.queue.steps import required_roles

router = APIRouter(tags=["health"])
log = structlog.get_logger(__name__)


class Health(StrEnum):
    """How the service, or one part of it, stands."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"


class CheckDocument(Document):
    """One part."""

    status: Health
    head: str | None = Field(None, description="of migrations: the revision this code was written for")
    current: str | None = Field(None, description="of migrations: the revision Postgres is at")
    warm: dict[str, int] | None = Field(None, description="of workers: how many of each role are warm")


class ReadinessDocument(Document):
    """`degraded` still accepts jobs; they wait until Redis or the workers are back."""

    status: Health
    checks: dict[str, CheckDocument]


class LivenessDocument(Document):
    """The process answers."""

    status: Health = Health.OK


@router.get("/livez")
async def livez() -> LivenessDocument:
    """Whether the process answers; nothing else is looked at."""
    return LivenessDocument()


@router.get("/readyz", responses=problems(NotReady), response_model_exclude_none=True)
def readyz(database: Database, heartbeats: Heartbeats, catalog: Catalog) -> ReadinessDocument:
    """Whether jobs can be accepted. When not, the answer is 503 and a problem that carries the same `checks`."""
    today = datetime.now(UTC).date()
    checks = _storage(database) | _workers(heartbeats, required_roles(catalog.available(today)))
    if Health.DOWN in (checks["postgres"].status, checks["migrations"].status):
        raise NotReady(
            "Jobs cannot be accepted: Postgres is unavailable, or its schema is not the one this version needs.",
            headers={"Retry-After": "5"},
            checks={name: check.model_dump(mode="json", exclude_none=True) for name, check in checks.items()},
        )
    fine = all(check.status is Health.OK for check in checks.values())
    return ReadinessDocument(status=Health.OK if fine else Health.DEGRADED, checks=checks)


def _storage(database: Database) -> dict[str, CheckDocument]:
    try:
        with database.transaction(durable=False) as session:
            current = migrations.current(session)
    except SQLAlchemyError as error:
        log.warning("postgres_unavailable", error=type(error).__name__)
        down = CheckDocument(status=Health.DOWN)
        return {"postgres": down, "migrations": down}
    # Revisions are numbered in order, and a newer one keeps what the version before it needs.
    at_head = Health.OK if current is not None and current >= migrations.HEAD else Health.DOWN
    return {
        "postgres": CheckDocument(status=Health.OK),
        "migrations": CheckDocument(status=at_head, head=migrations.HEAD, current=current),
    }


def _workers(heartbeats: Heartbeats, roles: Sequence[str]) -> dict[str, CheckDocument]:
    try:
        warm = heartbeats.warm(roles)
    except RedisError as error:
        log.warning("redis_unavailable", error=type(error).__name__)
        return {"redis": CheckDocument(status=Health.DOWN), "workers": CheckDocument(status=Health.DOWN)}
    return {
        "redis": CheckDocument(status=Health.OK),
        "workers": CheckDocument(status=Health.OK if all(warm.values()) else Health.DOWN, warm=warm),
    }
