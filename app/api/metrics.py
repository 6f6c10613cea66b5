"""GET /metrics: what this process counted and what the stores hold, for Prometheus; for operators, not for callers."""

import secrets
from collections.abc import Iterator

from fastapi import APIRouter, Request, Response
from prometheus_client import REGISTRY
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from app.api.dependencies import Gauges, Settings
from app.errors import Unauthenticated

router = APIRouter(tags=["health"])


class _Together(Collector):
    """Several collectors as one, so that an app's own need not be registered for the whole process."""

    def __init__(self, *collectors: Collector) -> None:
        self._collectors = collectors

    def collect(self) -> Iterator[Metric]:
        for collector in self._collectors:
            yield from collector.collect()


@router.get("/metrics", include_in_schema=False)
def get_metrics(request: Request, settings: Settings, gauges: Gauges) -> Response:
    """OpenMetrics to who accepts it, else Prometheus' text. Asks for `METRICS__TOKEN` where there is one."""
    token = settings.metrics.token
    given = request.headers.get("authorization", "")
    if token is not None and not secrets.compare_digest(given.encode(), f"Bearer {token.get_secret_value()}".encode()):
        raise Unauthenticated("The token of METRICS__TOKEN is needed.", headers={"WWW-Authenticate": "Bearer"})
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(_Together(REGISTRY, *gauges)), headers={"Content-Type": media_type})
