"""Serves what a worker process counted to Prometheus, on a port of its own; off unless `METRICS__PORT` is set."""

from prometheus_client import REGISTRY, start_http_server

from app.telemetry.metrics import PoolGauges
from workers.process import Process


def serve_metrics(process: Process) -> None:
    """Answers from a daemon thread. Raises OSError where the port is taken: each process needs its own."""
    settings = process.settings.metrics
    if settings.port:
        REGISTRY.register(PoolGauges(process.database.engine))
        start_http_server(settings.port, settings.host)
