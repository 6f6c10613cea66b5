"""Headers that restrict what browsers do with a response, and which origins may request one (CORS)."""

import base64
import hashlib
import re

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.settings import ApiSettings

DOCS = "/docs"
_ASSETS = "https://cdn.jsdelivr.net"
_NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_YEAR = 31_536_000

# Of a response that sets no others.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": _NOTHING,
    "Cache-Control": "no-store",
}
_REQUEST_HEADERS = (
    "Authorization", "Cancel-After", "Content-Type", "Idempotency-Key", "If-None-Match", "Last-Event-ID", "Prefer",
    "X-Request-Id", "traceparent", "tracestate",
)  # fmt: skip
_EXPOSED_HEADERS = (
    "ETag", "Link", "Location", "Preference-Applied", "RateLimit", "RateLimit-Policy", "Retry-After",
    "WWW-Authenticate", "X-Request-Id",
)  # fmt: skip


class SecurityHeadersMiddleware:
    """Pure ASGI; an endpoint's own header of the same name is kept."""

    def __init__(self, app: ASGIApp, settings: ApiSettings, docs_policy: str) -> None:
        self._app = app
        headers = dict(HEADERS)
        if settings.https:
            headers["Strict-Transport-Security"] = f"max-age={_YEAR}; includeSubDomains"
        self._headers = _raw(headers)
        self._docs = _raw({**headers, "Content-Security-Policy": docs_policy})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        added = self._docs if scope["path"] == DOCS else self._headers

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(field for field in added if field[0] not in present)]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    """As they are sent. Every poll adds them, so they are encoded once."""
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def install(app: FastAPI, settings: ApiSettings) -> None:
    """Adds the headers to every response, and handles preflight requests where other origins are allowed."""
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST", "PATCH", "DELETE"),
            allow_headers=_REQUEST_HEADERS,
            expose_headers=_EXPOSED_HEADERS,
        )
    app.add_middleware(SecurityHeadersMiddleware, settings=settings, docs_policy=_docs_policy(app))


def _docs_policy(app: FastAPI) -> str:
    """The policy of /docs, which loads its program from a CDN and starts it by one inline script: only these run."""
    page = get_swagger_ui_html(
        openapi_url=app.openapi_url or "", title=f"{app.title} - Swagger UI", oauth2_redirect_url=None
    )
    hashes = [
        "'sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() + "'"
        for script in re.findall(r"<script>(.*?)</script>", bytes(page.body).decode(), re.DOTALL)
    ]
    return (
        f"default-src 'none'; script-src {_ASSETS} {' '.join(hashes)}; style-src {_ASSETS} 'unsafe-inline'; "
        "img-src 'self' data: https://fastapi.tiangolo.com; connect-src 'self'; frame-ancestors 'none'; "
        "base-uri 'none'; form-action 'none'"
    )
