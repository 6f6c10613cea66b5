"""Headers that restrict what browsers do with a response, and which origins may request one (CORS)."""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.documentation import DOCS, POLICY
from app.settings import ApiSettings

_NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_YEAR = 31_536_000

# Of a response that sets no others.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": _NOTHING,
    "Cache-Control": "no-store",
    # No page of another origin gets a response by embedding it, or a handle to a window that shows one.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
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

    def __init__(self, app: ASGIApp, settings: ApiSettings) -> None:
        self._app = app
        headers = dict(HEADERS)
        if settings.https:
            headers["Strict-Transport-Security"] = f"max-age={_YEAR}; includeSubDomains"
        self._headers = _raw(headers)
        self._docs = _raw({**headers, "Content-Security-Policy": POLICY})

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
    app.add_middleware(SecurityHeadersMiddleware, settings=settings)
