"""Around every request: its counter and duration, its line in the log, and its span. Never what it says.

A route is named by its template, so that ids stay out of the labels. Query strings and bodies are not looked at.
"""

import time

import structlog
from opentelemetry.trace import SpanKind, StatusCode
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access.identity import Identity
from app.telemetry import tracing
from app.telemetry.metrics import HTTP_DURATION, HTTP_REQUESTS

log = structlog.get_logger(__name__)

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_UNMATCHED = "unmatched"


class ObserveMiddleware:
    """Pure ASGI, so that uploads and answers pass through unbuffered."""

    def __init__(self, app: ASGIApp, log_reads: bool) -> None:
        self._app = app
        self._log_reads = log_reads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if not tracing.recording() and "traceparent" not in headers:
            await self._observed(scope, receive, send)
            return
        method = _method(scope)
        with tracing.continued(headers), tracing.span(method, SpanKind.SERVER) as span:
            status = await self._observed(scope, receive, send)
            route = _route(scope)
            span.update_name(f"{method} {route}")
            span.set_attributes(
                {"http.request.method": method, "http.route": route, "http.response.status_code": status}
            )
            if status >= 500:
                span.set_status(StatusCode.ERROR)

    async def _observed(self, scope: Scope, receive: Receive, send: Send) -> int:
        """Has the request answered; the status, 499 where its caller had gone before there was one."""
        began = time.perf_counter()
        status = 499

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note_status)
        finally:
            seconds = time.perf_counter() - began
            method, route = _method(scope), _route(scope)
            HTTP_REQUESTS.labels(route, method, str(status)).inc()
            HTTP_DURATION.labels(route, method).observe(seconds)
            if self._log_reads or method not in ("GET", "HEAD") or status >= 400:
                log.info(
                    "request", method=method, route=route, status=status, seconds=round(seconds, 4), **_caller(scope)
                )
        return status


def _caller(scope: Scope) -> dict[str, str]:
    """Who asked, as the audit log names them; nobody where it did not come to that."""
    identity: Identity | None = scope["state"].get("identity")
    return {} if identity is None else {"tenant_id": str(identity.tenant_id), "actor": identity.actor}


def _method(scope: Scope) -> str:
    method: str = scope["method"]
    return method if method in _METHODS else "other"


def _route(scope: Scope) -> str:
    """The template of the route that was taken, e.g. /attribute/{job_id}."""
    path: str = getattr(scope.get("route"), "path_format", _UNMATCHED)
    return path
