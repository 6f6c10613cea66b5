"""/livez, /readyz and /metrics, for orchestrators and Prometheus.

Ready means that jobs can be accepted; any other failure is `degraded`.
"""

import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum

import structlog
from fastapi import APIRouter, Request, Response
from prometheus_client import REGISTRY
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from pydantic import Field, SecretStr
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from app.api.dependencies import Catalog, Database, Gauges, Heartbeats, Settings
from app.api.openapi import problems
from app.db.database import SCHEMA_HEAD, schema_revision
from app.document_base import Document
from app.errors import NotReady, Unauthenticated
from app.queue.steps import required_roles

router = APIRouter(tags=["health"])
log = structlog.get_logger(__name__)

# Of a statement, in seconds. Orchestrators give up soon.
_PATIENCE = 1.0


class Health(StrEnum):
    """The health of the service, or of one of its parts."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"


class CheckDocument(Document):
    """The health of one part."""

    status: Health
    head: str | None = Field(None, description="of migrations: the revision that this version needs")
    current: str | None = Field(None, description="of migrations: the revision of the database")
    warm: dict[str, int] | None = Field(None, description="of workers: the number of warm ones by role")
    reason: str | None = Field(None, description="of redis: why it is not ok, where it responds")


class ReadinessDocument(Document):
    """`degraded`: jobs are accepted, and wait until Redis or the workers are available, or Redis has room again."""

    status: Health
    checks: dict[str, CheckDocument]


class LivenessDocument(Document):
    """The process responds."""

    status: Health = Health.OK


@router.get("/livez")
async def livez() -> LivenessDocument:
    """Whether the process responds; nothing else is checked."""
    return LivenessDocument()


@router.get("/readyz", responses=problems(NotReady), response_model_exclude_none=True)
def readyz(database: Database, heartbeats: Heartbeats, catalog: Catalog) -> ReadinessDocument:
    """Whether jobs can be accepted. If not, the response is a 503 problem with the same `checks`."""
    today = datetime.now(UTC).date()
    checks = _storage(database) | _workers(heartbeats, required_roles(catalog.available(today)))
    if Health.DOWN in (checks["postgres"].status, checks["migrations"].status):
        raise NotReady(
            "Jobs cannot be accepted: Postgres is unavailable, or its schema is not the one this version needs.",
            headers={"Retry-After": "5"},
            checks={name: check.model_dump(mode="json", exclude_none=True) for name, check in checks.items()},
        )
    healthy = all(check.status is Health.OK for check in checks.values())
    return ReadinessDocument(status=Health.OK if healthy else Health.DEGRADED, checks=checks)


def _storage(database: Database) -> dict[str, CheckDocument]:
    try:
        with database.transaction(durable=False, limit=_PATIENCE) as session:
            current = schema_revision(session)
    except SQLAlchemyError as error:
        log.warning("postgres_unavailable", error=type(error).__name__)
        down = CheckDocument(status=Health.DOWN)
        return {"postgres": down, "migrations": down}
    # Revisions are numbered in order, and a newer one is compatible with the version before it.
    at_head = Health.OK if current is not None and current >= SCHEMA_HEAD else Health.DOWN
    return {
        "postgres": CheckDocument(status=Health.OK),
        "migrations": CheckDocument(status=at_head, head=SCHEMA_HEAD, current=current),
    }


def _workers(heartbeats: Heartbeats, roles: Sequence[str]) -> dict[str, CheckDocument]:
    try:
        warm, refusal = heartbeats.warm(roles), heartbeats.refusal()
    except RedisError as error:
        log.warning("redis_unavailable", error=type(error).__name__)
        return {"redis": CheckDocument(status=Health.DOWN), "workers": CheckDocument(status=Health.DOWN)}
    redis = CheckDocument(status=Health.OK if refusal is None else Health.DEGRADED, reason=refusal)
    return {
        "redis": redis,
        "workers": CheckDocument(status=Health.OK if all(warm.values()) else Health.DOWN, warm=warm),
    }


class _JoinedCollector(Collector):
    """Several collectors as one, so that an app's own need not be registered for the whole process."""

    def __init__(self, *collectors: Collector) -> None:
        self._collectors = collectors

    def collect(self) -> Iterator[Metric]:
        for collector in self._collectors:
            yield from collector.collect()


def _has_token(request: Request, token: SecretStr | None) -> bool:
    given = request.headers.get("authorization", "")
    expected = None if token is None else f"Bearer {token.get_secret_value()}"
    return expected is not None and secrets.compare_digest(given.encode(), expected.encode())


@router.get("/metrics", include_in_schema=False)
def get_metrics(request: Request, settings: Settings, gauges: Gauges) -> Response:
    """The process's metrics and the stores' gauges, as OpenMetrics where accepted, else as Prometheus text.

    For operators: needs the token of `METRICS__TOKEN`, or that `METRICS__OPEN` is set, and no API key.
    """
    if not (settings.metrics.open or _has_token(request, settings.metrics.token)):
        raise Unauthenticated(
            "The token of METRICS__TOKEN is needed, unless METRICS__OPEN is set.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(_JoinedCollector(REGISTRY, *gauges)), headers={"Content-Type": media_type})
