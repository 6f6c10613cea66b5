"""Around every request: its id, counter, duration, log line and span. Never its content.

A route is named by its template, so that ids stay out of the labels. Query strings and bodies are not read.
"""

import re
import time
import uuid

import structlog
from opentelemetry.trace import SpanKind, StatusCode
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access.identity import Identity
from app.telemetry import tracing
from app.telemetry.metrics import HTTP_DURATION, HTTP_REQUESTS

log = structlog.get_logger(__name__)

REQUEST_ID_HEADER = "X-Request-Id"
_VALID_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_UNMATCHED = "unmatched"


class RequestIdMiddleware:
    """Gives every request an id, the caller's own where it is valid, in the response and in every log line.

    Pure ASGI, so that uploads and responses pass through unbuffered.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        request_id = given if _VALID_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._app(scope, receive, send_with_id)


class ObserveMiddleware:
    """Counts, times, logs and traces every request. Pure ASGI, too."""

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
            await self._observe(scope, receive, send)
            return
        method = _method(scope)
        with tracing.continued(headers), tracing.span(method, SpanKind.SERVER) as span:
            status = await self._observe(scope, receive, send)
            route = _route(scope)
            span.update_name(f"{method} {route}")
            span.set_attributes(
                {"http.request.method": method, "http.route": route, "http.response.status_code": status}
            )
            if status >= 500:
                span.set_status(StatusCode.ERROR)

    async def _observe(self, scope: Scope, receive: Receive, send: Send) -> int:
        """Handles the request; returns the status, 499 where the client disconnected before there was one."""
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
    """The caller as the audit log names it; empty where the key was not accepted."""
    identity: Identity | None = scope["state"].get("identity")
    return {} if identity is None else {"tenant_id": str(identity.tenant_id), "actor": identity.actor}


def _method(scope: Scope) -> str:
    method: str = scope["method"]
    return method if method in _METHODS else "other"


def _route(scope: Scope) -> str:
    """The template of the matched route, e.g. /attribute/{job_id}."""
    path: str = getattr(scope.get("route"), "path_format", _UNMATCHED)
    return path
