"""What Postgres and Redis hold, looked up when Prometheus asks the API: open jobs, queues, warm workers.

Looking costs the same with a thousand jobs in the table as with a million, and happens at most every few seconds
however many ask. A store that is unavailable is told as such; what it would have said is then left out.
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

log = structlog.get_logger(__name__)

# Open jobs and due deliveries that are counted; with more of them the numbers are lower bounds.
COUNTED = 5_000
FRESH_SECONDS = 5.0

# Both walk a partial index of what is open, so that what has ended costs nothing.
JOBS_SQL = """
    WITH open AS (
        SELECT id, stage, stage_entered_at, lease_until IS NULL OR lease_until < now() AS unheld FROM jobs
        WHERE status IN ('queued', 'processing') ORDER BY requeued_at LIMIT :counted
    )
    SELECT 'job' AS kind, stage AS name, count(*) AS total, count(*) FILTER (WHERE unheld) AS waiting,
           extract(epoch FROM now() - min(stage_entered_at) FILTER (WHERE unheld)) AS oldest
    FROM open GROUP BY 2
    UNION ALL
    SELECT 'source', s.queue, count(*), count(*), extract(epoch FROM now() - min(o.stage_entered_at))
    FROM open o JOIN job_sources s ON s.job_id = o.id
    WHERE o.stage = 'resynthesizing' AND s.state = 'pending' AND s.next_attempt_at IS NULL
    GROUP BY 2
"""
DELIVERIES_SQL = """
    SELECT count(*), extract(epoch FROM now() - min(next_attempt_at)) FROM (
        SELECT next_attempt_at FROM webhook_deliveries
        WHERE state = 'pending' AND next_attempt_at <= now() ORDER BY next_attempt_at LIMIT :counted
    ) due
"""


class StoreGauges:
    """A Prometheus collector over the stores; safe to be asked by several threads."""

    def __init__(
        self,
        database: Database,
        heartbeats: Heartbeats,
        queues: Iterable[str],
        roles: Sequence[Role] = tuple(Role),
        circuits: Callable[[], Mapping[str, bool]] = dict,
    ) -> None:
        """`circuits` says of each source that has one whether it is open, and raises RedisError."""
        self._database = database
        self._heartbeats = heartbeats
        self._circuits = circuits
        self._queues = sorted({*queues, NOTIFY_QUEUE, REFERENCE_QUEUE, *_QUEUES.values()})
        self._roles = roles
        self._lock = Lock()
        self._looked_at = 0.0
        self._found: Sequence[Metric] = ()

    def describe(self) -> Sequence[Metric]:
        """Every family, without samples."""
        return tuple(_families().values())

    def collect(self) -> Sequence[Metric]:
        """What the stores hold, or held a few seconds ago."""
        with self._lock:
            if time.monotonic() - self._looked_at > FRESH_SECONDS or not self._found:
                self._found = tuple(self._look())
                self._looked_at = time.monotonic()
            return self._found

    def _look(self) -> Iterator[Metric]:
        families = _families()
        up = families["dependency_up"]
        try:
            self._count_rows(families)
            up.add_metric(["postgres"], 1)
        except SQLAlchemyError as error:
            log.warning("gauges_without_postgres", error=type(error).__name__)
            up.add_metric(["postgres"], 0)
        try:
            for role, warm in self._heartbeats.warm(self._roles).items():
                families["workers_warm"].add_metric([role], warm)
            for source, is_open in self._circuits().items():
                families["circuit_open"].add_metric([source], is_open)
            up.add_metric(["redis"], 1)
        except RedisError:
            up.add_metric(["redis"], 0)
        yield from families.values()

    def _count_rows(self, families: dict[str, GaugeMetricFamily]) -> None:
        with self._database.transaction(durable=False) as session:
            session.execute(text("SET LOCAL statement_timeout = '2s'"))
            rows = session.execute(text(JOBS_SQL), {"counted": COUNTED}).all()
            due, longest_due = session.execute(text(DELIVERIES_SQL), {"counted": COUNTED}).one()
        open_jobs = dict.fromkeys(_STAGES, 0)
        waiting = dict.fromkeys(self._queues, (0, 0.0)) | {NOTIFY_QUEUE: (due, longest_due or 0.0)}
        for kind, name, total, unheld, oldest in rows:
            if kind == "job":
                open_jobs[name] = total
            queue = name if kind == "source" else _QUEUES.get(name)
            if queue in waiting:  # sources that have left the catalog meanwhile get no series
                waiting[queue] = (unheld, oldest or 0.0)
        for stage, total in open_jobs.items():
            families["attribution_jobs_open"].add_metric([stage], total)
        for queue, (depth, age) in waiting.items():
            families["queue_depth"].add_metric([queue], depth)
            families["queue_oldest_age_seconds"].add_metric([queue], float(age))


class PoolGauges:
    """A Prometheus collector over this process's connections to Postgres."""

    def __init__(self, database: Database) -> None:
        self._pool = database.engine.pool

    def describe(self) -> Sequence[Metric]:
        """The family, without samples."""
        return (_pool_family(),)

    def collect(self) -> Sequence[Metric]:
        """Connections in use and idle."""
        family = _pool_family()
        family.add_metric(["used"], self._pool.checkedout())  # type: ignore[attr-defined]
        family.add_metric(["idle"], self._pool.checkedin())  # type: ignore[attr-defined]
        return (family,)


_STAGES = tuple(stage.value for stage in Stage)
_QUEUES = {stage.value: queue for stage, queue in STAGE_QUEUES.items()}


def _families() -> dict[str, GaugeMetricFamily]:
    families = (
        GaugeMetricFamily("attribution_jobs_open", "Jobs that have not ended, by stage", labels=["stage"]),
        GaugeMetricFamily("queue_depth", "Steps that wait for a worker", labels=["queue"]),
        GaugeMetricFamily("queue_oldest_age_seconds", "Since the oldest of them began to wait", labels=["queue"]),
        GaugeMetricFamily("workers_warm", "Worker processes that said lately that they are warm", labels=["role"]),
        GaugeMetricFamily(
            "circuit_open", "Whether a source is left alone for failing or refusing too often", labels=["source"]
        ),
        GaugeMetricFamily("dependency_up", "Whether a store answers", labels=["dependency"]),
    )
    return {family.name: family for family in families}


def _pool_family() -> GaugeMetricFamily:
    return GaugeMetricFamily("database_pool_connections", "Connections of this process to Postgres", labels=["state"])
