"""Gauges over Postgres and Redis, read when Prometheus fetches /metrics: open jobs, queues, warm workers.

Reading costs the same with a thousand jobs in the table as with a million, and happens at most every few seconds
however many scrapers there are. A store that is unavailable is reported as such; its other gauges are then missing.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from threading import Lock

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.db.database import Database
from app.db.models import Stage
from app.queue.heartbeats import Heartbeats
from app.queue.steps import NOTIFY_QUEUE, REFERENCE_QUEUE, STAGE_QUEUES, Role
from app.telemetry.metrics import PoolGauges

log = structlog.get_logger(__name__)

FRESH_SECONDS = 5.0
# Of a statement, in seconds.
_PATIENCE = 2.0

# A view of the migrations, over open rows only: rows with a stage are jobs.
STEPS_SQL = "SELECT stage, queue, waiting, running, coalesce(oldest_seconds, 0) AS oldest_seconds FROM queue_steps"
# Blobs whose use has ended, and whose bytes are still to be deleted; of more than so many, the gauge is a lower bound.
DELETIONS_SQL = """
    SELECT count(*), extract(epoch FROM now() - min(deleted_at)) FROM (
        SELECT deleted_at FROM blobs WHERE due_at IS NOT NULL ORDER BY due_at, deleted_at LIMIT 5000
    ) due
"""
# One row per feature space. A source counts by its revision that drifted most.
BANK_SQL = """
    SELECT split_part(key, '@', 1) AS source, max(value::float)
    FROM bank_snapshots, jsonb_each_text(drift) GROUP BY 1
"""


class StoreGauges:
    """A Prometheus collector over the stores; thread-safe."""

    def __init__(
        self,
        database: Database,
        heartbeats: Heartbeats,
        queues: Iterable[str],
        roles: Sequence[Role] = tuple(Role),
        circuits: Callable[[], Mapping[str, bool]] = dict,
    ) -> None:
        """`circuits` returns whether each source's circuit breaker is open, and raises RedisError."""
        self._database = database
        self._heartbeats = heartbeats
        self._circuits = circuits
        self._queues = sorted({*queues, NOTIFY_QUEUE, REFERENCE_QUEUE, *_QUEUES.values()})
        self._roles = roles
        self._lock = Lock()
        self._read_at = 0.0
        self._families: Sequence[Metric] = ()

    def describe(self) -> Sequence[Metric]:
        """Every family, without samples."""
        return tuple(_families().values())

    def collect(self) -> Sequence[Metric]:
        """The gauges, at most a few seconds old."""
        with self._lock:
            if time.monotonic() - self._read_at > FRESH_SECONDS or not self._families:
                self._families = tuple(self._read())
                self._read_at = time.monotonic()
            return self._families

    def _read(self) -> Iterator[Metric]:
        families = _families()
        up = families["dependency_up"]
        try:
            self._count_rows(families)
            up.add_metric(["postgres"], 1)
        except SQLAlchemyError as error:
            log.warning("postgres_unavailable", error=type(error).__name__)
            up.add_metric(["postgres"], 0)
        try:
            for role, warm in self._heartbeats.warm(self._roles).items():
                families["workers_warm"].add_metric([role], warm)
            for source, is_open in self._circuits().items():
                families["circuit_open"].add_metric([source], is_open)
            up.add_metric(["redis"], 1)
        except RedisError as error:
            log.warning("redis_unavailable", error=type(error).__name__)
            up.add_metric(["redis"], 0)
        yield from families.values()

    def _count_rows(self, families: dict[str, GaugeMetricFamily]) -> None:
        with self._database.transaction(durable=False, limit=_PATIENCE) as session:
            rows = session.execute(text(STEPS_SQL)).all()
            for source, change in session.execute(text(BANK_SQL)):
                families["bank_drift"].add_metric([source], change)
            overdue, oldest = session.execute(text(DELETIONS_SQL)).one()
        open_jobs = dict.fromkeys(_STAGES, 0)
        families["blobs_to_delete"].add_metric([], overdue)
        families["blobs_to_delete_oldest_age_seconds"].add_metric([], float(oldest or 0.0))
        waiting = dict.fromkeys(self._queues, (0, 0.0))
        for row in rows:
            if row.stage is not None:
                open_jobs[row.stage] = row.waiting + row.running
            if row.queue in waiting:  # a source that is no longer in the catalog has no series
                waiting[row.queue] = (row.waiting, row.oldest_seconds)
        for stage, total in open_jobs.items():
            families["attribution_jobs_open"].add_metric([stage], total)
        for queue, (depth, age) in waiting.items():
            families["queue_depth"].add_metric([queue], depth)
            families["queue_oldest_age_seconds"].add_metric([queue], age)


_STAGES = tuple(stage.value for stage in Stage)
_QUEUES = {stage.value: queue for stage, queue in STAGE_QUEUES.items()}


def _families() -> dict[str, GaugeMetricFamily]:
    families = (
        GaugeMetricFamily("attribution_jobs_open", "Jobs that have not ended, by stage", labels=["stage"]),
        GaugeMetricFamily("queue_depth", "Steps that wait for a worker", labels=["queue"]),
        GaugeMetricFamily("queue_oldest_age_seconds", "Age of the oldest of them", labels=["queue"]),
        GaugeMetricFamily("workers_warm", "Worker processes with a recent heartbeat", labels=["role"]),
        GaugeMetricFamily(
            "circuit_open",
            "Whether a source's circuit breaker is open after too many failures or refusals",
            labels=["source"],
        ),
        GaugeMetricFamily(
            "bank_drift",
            "How far a source's last 10 jobs are from its earlier ones; about 1 is chance",
            labels=["source"],
        ),
        GaugeMetricFamily("dependency_up", "Whether a store responds", labels=["dependency"]),
        GaugeMetricFamily("blobs_to_delete", "Blobs that no job uses any more and whose bytes are to be deleted"),
        GaugeMetricFamily("blobs_to_delete_oldest_age_seconds", "How long ago the use of the oldest of them ended"),
    )
    return {family.name: family for family in families}


# The collectors of an API process.
Gauges = tuple[StoreGauges, PoolGauges]
