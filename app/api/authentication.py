"""Checks the key of every request, and counts the request against the key's rate limit, before the body is read.

Every path but those in OPEN needs a key. Endpoints declare in their signatures which scope the key needs.
"""

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access.identity import Identity
from app.access.keyring import ANONYMOUS, Keyring
from app.access.rates import LIMIT, POLICY, RateLimits, policies, remaining, too_many_requests
from app.access.volumes import DailyVolumes
from app.api.documentation import DOCS
from app.api.problems import problem_response
from app.api.web_pages import refuse_foreign_pages
from app.errors import ServiceError
from app.settings import AccessSettings

# Health checks, the metrics (which have a token of their own), and what documents the API.
OPEN = frozenset({"/livez", "/readyz", "/metrics", "/openapi.json", DOCS})
OPEN_PREFIXES = ("/problems/", f"{DOCS}/")


def is_open(path: str) -> bool:
    """Whether a path needs no key."""
    return path in OPEN or path.startswith(OPEN_PREFIXES)


class AuthenticationMiddleware:
    """Pure ASGI: stores the identity in the request's state, and adds the rate limit to the response's headers."""

    def __init__(self, app: ASGIApp, settings: AccessSettings, origins: Collection[str] = ()) -> None:
        """`origins` are those of pages that may call the API."""
        self._app = app
        self._origins = origins
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http" or is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        limits = scope["state"]["limits"] = dict[str, str]()

        async def send_with_limits(message: Message) -> None:
            if message["type"] == "http.response.start":
                fields = ((name.lower().encode(), value.encode()) for name, value in limits.items())
                message["headers"] = [*message["headers"], *fields]
            await send(message)

        try:
            identity = await self._admit(scope, limits)
        except ServiceError as error:
            await problem_response(Request(scope), error)(scope, receive, send_with_limits)
            return
        if scope["method"] == "GET":
            await self._app(scope, receive, send_with_limits)
            return
        volumes: DailyVolumes = scope["state"]["volumes"]

        async def receive_and_count() -> Message:
            message = await receive()
            volumes.add(identity.tenant_id, size=len(message.get("body", b"")))
            return message

        await self._app(scope, receive_and_count, send_with_limits)

    async def _admit(self, scope: Scope, limits: dict[str, str]) -> Identity:
        """The caller. Raises the errors of `Keyring.identify`, ForeignPage and QuotaExceeded."""
        state = scope["state"]
        keyring: Keyring = state["keyring"]
        identity = await keyring.identify(_authorization(scope))
        if identity is ANONYMOUS:
            refuse_foreign_pages(Headers(scope=scope), self._settings.anonymous_hosts, self._origins)
        volumes: DailyVolumes = state["volumes"]
        daily_policy, daily_left = volumes.fields(identity)
        per_minute = _per_minute(identity, self._settings)
        concurrent_jobs = identity.concurrent_jobs or self._settings.concurrent_jobs
        limits[POLICY] = f"{policies(per_minute, concurrent_jobs)}, {daily_policy}"
        await _count(state["rates"], identity, per_minute, daily_left, limits)
        state["identity"] = identity
        return identity


async def count_request(request: Request) -> None:
    """Counts one more request of the key, as of each further item of a batch. Raises QuotaExceeded."""
    state = request.state
    per_minute = _per_minute(state.identity, state.settings.access)
    _, daily_left = state.volumes.fields(state.identity)
    await _count(state.rates, state.identity, per_minute, daily_left, state.limits)


async def _count(
    rates: RateLimits, identity: Identity, per_minute: int, daily_left: str, limits: dict[str, str]
) -> None:
    allowance = await rates.take(identity.actor, per_minute)
    limits[LIMIT] = f"{remaining(allowance)}, {daily_left}"
    if not allowance.allowed:
        raise too_many_requests(allowance)


def _per_minute(identity: Identity, settings: AccessSettings) -> int:
    return identity.requests_per_minute or settings.requests_per_minute


def _authorization(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"authorization":
            return str(value, "latin-1")
    return None
