"""From the `Authorization` header to an identity: keys are looked up in Postgres and remembered for a few seconds.

What is remembered is bounded, and the unknown cannot push out the known. A key that is revoked is refused everywhere
as soon as nobody remembers it, `ACCESS__KEY_CACHE` later at most. Nothing depends on Redis.
"""

import time
from dataclasses import dataclass

import structlog
from anyio import CapacityLimiter, Semaphore, fail_after, to_thread
from cachetools import TTLCache
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.access import key_repository
from app.access.identity import Identity
from app.access.key_format import digest_of
from app.access.scopes import Scope
from app.db.database import Database
from app.db.models import DEFAULT_TENANT
from app.errors import InvalidKey, StorageUnavailable, Unauthenticated
from app.settings import AccessSettings, DatabaseSettings

log = structlog.get_logger(__name__)

ANYBODY = Identity(DEFAULT_TENANT, "anybody", frozenset(Scope))
_REMEMBERED = 10_000
# A flood of unknown keys keeps so many connections and threads, and no others.
_LOOK_UPS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class _KnownKey:
    """What a key opens, until when, and why not."""

    identity: Identity
    expires_at: float  # Unix time
    refusal: str | None


class Keyring:
    """Knows callers by their keys. All methods belong to the event loop."""

    def __init__(self, database: Database, access: AccessSettings, connecting: DatabaseSettings) -> None:
        ttl = access.key_cache.total_seconds()
        self._database = database
        self._anonymous = access.anonymous
        self._patience = connecting.connect_timeout.total_seconds()
        self._known: TTLCache[str, _KnownKey] = TTLCache(_REMEMBERED, ttl)
        self._unknown: TTLCache[str, None] = TTLCache(_REMEMBERED, ttl)
        self._look_ups = Semaphore(_LOOK_UPS_AT_ONCE)
        self._threads = CapacityLimiter(_LOOK_UPS_AT_ONCE)

    async def identify(self, authorization: str | None) -> Identity:
        """Whose key the header has. Raises Unauthenticated, InvalidKey, and StorageUnavailable with Postgres away."""
        scheme, _, token = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer":
            if self._anonymous and authorization is None:
                return ANYBODY
            raise Unauthenticated(
                "A key is needed; send it as `Authorization: Bearer wd_…`.", headers={"WWW-Authenticate": "Bearer"}
            )
        digest = digest_of(token.strip())
        if digest is None:
            raise _invalid("What was sent is not a key of this service.")
        held = self._known.get(digest)
        if held is None and digest not in self._unknown:
            held = await self._look_up(digest)
        if held is None:
            raise _invalid("There is no such key.")
        if held.refusal is not None:
            raise _invalid(held.refusal)
        if held.expires_at <= time.time():
            raise _invalid("The key has expired; ask for a new one.")
        return held.identity

    async def _look_up(self, digest: str) -> _KnownKey | None:
        try:
            with fail_after(self._patience):
                async with self._look_ups:
                    # Somebody who was before us in the queue may have asked the same.
                    if digest in self._known or digest in self._unknown:
                        return self._known.get(digest)
                    held = await to_thread.run_sync(self._fetch, digest, limiter=self._threads)
        except (OperationalError, InterfaceError, PoolTimeoutError, TimeoutError) as error:
            log.warning("postgres_unavailable", error=type(error).__name__)
            raise StorageUnavailable("The key cannot be looked up just now; try again in a few seconds.") from error
        if held is None:
            self._unknown[digest] = None
        else:
            self._known[digest] = held
        return held

    def _fetch(self, digest: str) -> _KnownKey | None:
        with self._database.statement() as session:
            found = key_repository.get_by_digest(session, digest)
            if found is None:
                return None
            key, tenant = found
            key_repository.update_last_used(session, key)
        refusal = None
        if key.revoked_at is not None:
            refusal = "The key was revoked; ask for a new one."
        elif tenant.disabled_at is not None:
            refusal = "The tenant of this key is switched off; ask the operator."
        identity = Identity(
            tenant_id=tenant.id,
            actor=f"key:{key.id}",
            scopes=frozenset(Scope(scope) for scope in key.scopes),
            requests_per_minute=key.requests_per_minute or tenant.requests_per_minute,
            concurrent_jobs=tenant.concurrent_jobs,
        )
        return _KnownKey(identity, float("inf") if key.expires_at is None else key.expires_at.timestamp(), refusal)


def _invalid(detail: str) -> InvalidKey:
    return InvalidKey(detail, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
