"""What this process counts, under OpenMetrics names, for Prometheus to fetch; `app.api.store_gauges` looks at the stores.

Labels are bounded: sources of the catalog, routes, states. Never a tenant, a job, an address or a text. Counting
costs a microsecond, so it is done where things happen.
"""

from collections.abc import Mapping

from prometheus_client import Counter, Histogram, disable_created_metrics

# When a counter was made is said by the process's start time; a series more for each of them would say it again.
disable_created_metrics()  # type: ignore[no-untyped-call]

_STEPS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)

JOBS = Counter("attribution_jobs_total", "Jobs accepted, and jobs ended by how they ended", ["status"])
JOB_DURATION = Histogram(
    "attribution_job_duration_seconds", "From acceptance to the end of a job", ["status"], buckets=_STEPS
)
STAGE_DURATION = Histogram(
    "attribution_stage_duration_seconds", "Of a job's stage, waiting for a worker included", ["stage"], buckets=_STEPS
)
STEPS_RELEASED = Counter("steps_released_total", "Steps that a stopping worker gave to others", ["stage"])
SWEEPS = Counter("attribution_sweeps_total", "Rounds of the sweep")
STEPS_REQUEUED = Counter("steps_requeued_total", "Steps that stood still and were enqueued again")
GENERATOR_REQUESTS = Counter(
    "generator_requests_total", "Requests to a source by how they ended", ["source", "outcome"]
)
GENERATOR_DURATION = Histogram(
    "generator_request_duration_seconds",
    "Of a request to a source, all its generated images",
    ["source"],
    buckets=_STEPS,
)
SOURCE_SPEND = Counter("source_spend_usd_total", "What sources were paid for calls whose end is known", ["source"])
EMBEDDING_BATCH = Histogram(
    "embedding_batch_size", "Images embedded for one job", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
DECODE_DURATION = Histogram(
    "image_decode_duration_seconds", "Of decoding an upload, waiting for a child included", buckets=_STEPS
)
CACHE_REQUESTS = Counter(
    "cache_requests_total", "Generated images and whole answers looked for in the cache", ["kind", "outcome"]
)
HTTP_REQUESTS = Counter("http_requests_total", "Answered requests", ["route", "method", "status"])
HTTP_DURATION = Histogram(
    "http_request_duration_seconds", "From the request's head to the answer's end", ["route", "method"], buckets=_STEPS
)
WEBHOOK_ATTEMPTS = Counter(
    "webhook_attempts_total", "Attempts at delivering, by what became of the delivery", ["outcome"]
)
WEBHOOK_DURATION = Histogram("webhook_attempt_duration_seconds", "Of an attempt at delivering", buckets=_STEPS)


def job_accepted() -> None:
    """A job was committed."""
    JOBS.labels("accepted").inc()


def job_ended(status: str, seconds: float | None, stages: Mapping[str, float]) -> None:
    """Counts a job's committed end, once per job: its duration in seconds, and that of its stages by name."""
    JOBS.labels(status).inc()
    for stage, duration in stages.items():
        STAGE_DURATION.labels(stage).observe(duration)
    if seconds is not None:
        JOB_DURATION.labels(status).observe(seconds)
