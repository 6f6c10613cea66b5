"""Checks the key of every request, and counts the request against the key's rate limit, before the body is read.

Every path but those in OPEN needs a key. Endpoints declare in their signatures which scope the key needs.
"""

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access.identity import Identity
from app.access.keyring import Keyring
from app.access.rates import LIMIT, POLICY, RateLimits, policies, remaining, too_many_requests
from app.api.problems import problem_response
from app.errors import ServiceError
from app.settings import AccessSettings

# Health checks, the metrics (which have a token of their own), and what documents the API.
OPEN = frozenset({"/livez", "/readyz", "/metrics", "/openapi.json", "/docs"})
OPEN_PREFIX = "/problems/"


def is_open(path: str) -> bool:
    """Whether a path needs no key."""
    return path in OPEN or path.startswith(OPEN_PREFIX)


class AuthenticationMiddleware:
    """Pure ASGI: stores the identity in the request's state, and adds the rate limit to the response's headers."""

    def __init__(self, app: ASGIApp, settings: AccessSettings) -> None:
        self._app = app
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
            await self._admit(scope, limits)
        except ServiceError as error:
            await problem_response(Request(scope), error)(scope, receive, send_with_limits)
        else:
            await self._app(scope, receive, send_with_limits)

    async def _admit(self, scope: Scope, limits: dict[str, str]) -> None:
        """Raises the errors of `Keyring.identify`, and QuotaExceeded."""
        state = scope["state"]
        keyring: Keyring = state["keyring"]
        identity = await keyring.identify(_authorization(scope))
        per_minute = _per_minute(identity, self._settings)
        limits[POLICY] = policies(per_minute, identity.concurrent_jobs or self._settings.concurrent_jobs)
        await _count(state["rates"], identity, per_minute, limits)
        state["identity"] = identity


async def count_request(request: Request) -> None:
    """Counts one more request of the key, as of each further item of a batch. Raises QuotaExceeded."""
    state = request.state
    await _count(state.rates, state.identity, _per_minute(state.identity, state.settings.access), state.limits)


async def _count(rates: RateLimits, identity: Identity, per_minute: int, limits: dict[str, str]) -> None:
    allowance = await rates.take(identity.actor, per_minute)
    limits[LIMIT] = remaining(allowance)
    if not allowance.allowed:
        raise too_many_requests(allowance)


def _per_minute(identity: Identity, settings: AccessSettings) -> int:
    return identity.requests_per_minute or settings.requests_per_minute


def _authorization(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"authorization":
            return str(value, "latin-1")
    return None
