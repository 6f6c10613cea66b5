"""Who is calling, and whether it may call once more: asked of every request before its body is read.

Everything needs a key but what OPEN names; what the key must be good for, endpoints say in their signatures.
"""

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access import quota
from app.access.keyring import Keyring
from app.access.rates import RateLimits
from app.api.problems import answer_problem
from app.errors import ServiceError
from app.settings import AccessSettings

# What a supervisor asks, what Prometheus fetches (which has a token of its own), and what explains the interface.
OPEN = frozenset({"/livez", "/readyz", "/metrics", "/openapi.json", "/docs"})
OPEN_PREFIX = "/problems/"


def is_open(path: str) -> bool:
    """Whether a path answers without a key."""
    return path in OPEN or path.startswith(OPEN_PREFIX)


class AccessMiddleware:
    """Pure ASGI: leaves the identity in the request's state, and the limits in the answer's headers."""

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
                said = ((name.lower().encode(), value.encode()) for name, value in limits.items())
                message["headers"] = [*message["headers"], *said]
            await send(message)

        try:
            await self._admit(scope, limits)
        except ServiceError as error:
            await answer_problem(Request(scope), error)(scope, receive, send_with_limits)
        else:
            await self._app(scope, receive, send_with_limits)

    async def _admit(self, scope: Scope, limits: dict[str, str]) -> None:
        """Raises what identifying raises, and QuotaExceeded."""
        state = scope["state"]
        keyring: Keyring = state["keyring"]
        rates: RateLimits = state["rates"]
        identity = await keyring.identify(_authorization(scope))
        per_minute = identity.requests_per_minute or self._settings.requests_per_minute
        allowance = await rates.take(identity.actor, per_minute)
        limits[quota.POLICY] = quota.policies(per_minute, identity.concurrent_jobs or self._settings.concurrent_jobs)
        limits[quota.LIMIT] = quota.left(allowance)
        if not allowance.allowed:
            raise quota.too_many_requests(allowance)
        state["identity"] = identity


def _authorization(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"authorization":
            return str(value, "latin-1")
    return None
