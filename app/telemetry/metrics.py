"""The metrics of this process under OpenMetrics names; `app.api.store_gauges` has those of the stores.

Labels are bounded: sources of the catalog, routes, states. Never a tenant, a job, a URL or a text. Counting costs a
microsecond.
"""

from collections.abc import Mapping, Sequence

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import Engine, QueuePool

# The process's start time is enough; without this each counter has one more series.
disable_created_metrics()  # type: ignore[no-untyped-call]

_STEPS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)

JOBS = Counter("attribution_jobs_total", "Jobs accepted, and jobs ended by status", ["status"])
JOB_DURATION = Histogram(
    "attribution_job_duration_seconds", "From acceptance to the end of a job", ["status"], buckets=_STEPS
)
STAGE_DURATION = Histogram(
    "attribution_stage_duration_seconds", "Of a job's stage, time in the queue included", ["stage"], buckets=_STEPS
)
STEPS_RELEASED = Counter("steps_released_total", "Steps that a stopping worker released", ["stage"])
SWEEPS = Counter("attribution_sweeps_total", "Rounds of the sweep")
STEPS_REQUEUED = Counter("steps_requeued_total", "Stalled steps that the sweep enqueued again")
GENERATOR_REQUESTS = Counter("generator_requests_total", "Requests to a source by outcome", ["source", "outcome"])
GENERATOR_DURATION = Histogram(
    "generator_request_duration_seconds",
    "Of a request to a source, all its images included",
    ["source"],
    buckets=_STEPS,
)
SOURCE_SPEND = Counter("source_spend_usd_total", "Cost of completed calls to sources", ["source"])
GENERATION_BATCH = Histogram(
    "generation_batch_size",
    "Images that a local source generated at once",
    ["source"],
    buckets=(1, 2, 4, 8, 16, 32, 64),
)
COMPUTE_THREADS = Gauge("compute_threads", "Threads that this process computes with: its share of MODELS__THREADS")
EMBEDDING_BATCH = Histogram(
    "embedding_batch_size", "Images embedded for one job", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
DECODE_DURATION = Histogram(
    "image_decode_duration_seconds", "Of decoding an upload, waiting for a decoder included", buckets=_STEPS
)
CACHE_REQUESTS = Counter(
    "cache_requests_total", "Lookups of generated images and of whole results in the cache", ["kind", "outcome"]
)
DECODER_SANDBOX = Gauge("decoder_sandbox", "Whether decoding children are confined by this, 1 or 0", ["part"])
HTTP_REQUESTS = Counter("http_requests_total", "HTTP requests", ["route", "method", "status"])
HTTP_DURATION = Histogram(
    "http_request_duration_seconds",
    "From the request's head to the response's end",
    ["route", "method"],
    buckets=_STEPS,
)
WEBHOOK_ATTEMPTS = Counter(
    "webhook_attempts_total", "Delivery attempts by the state of the delivery afterwards", ["outcome"]
)
WEBHOOK_DURATION = Histogram("webhook_attempt_duration_seconds", "Of a delivery attempt", buckets=_STEPS)


def job_accepted() -> None:
    """Counts a job that was committed."""
    JOBS.labels("accepted").inc()


def job_ended(status: str, seconds: float | None, stages: Mapping[str, float]) -> None:
    """Counts a job's committed end, once per job: its duration in seconds, and that of its stages by name."""
    JOBS.labels(status).inc()
    for stage, duration in stages.items():
        STAGE_DURATION.labels(stage).observe(duration)
    if seconds is not None:
        JOB_DURATION.labels(status).observe(seconds)


class PoolGauges:
    """A Prometheus collector over this process's connections to Postgres."""

    def __init__(self, engine: Engine) -> None:
        assert isinstance(engine.pool, QueuePool)
        self._pool = engine.pool

    def describe(self) -> Sequence[Metric]:
        """The family, without samples."""
        return (self._family(),)

    def collect(self) -> Sequence[Metric]:
        """Connections in use and idle."""
        family = self._family()
        family.add_metric(["used"], self._pool.checkedout())
        family.add_metric(["idle"], self._pool.checkedin())
        return (family,)

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily("database_pool_connections", "Connections to Postgres by state", labels=["state"])
