"""From the `Authorization` header to an identity: keys are looked up in Postgres and cached for a few seconds.

The caches are bounded, and unknown keys can neither evict known ones nor keep them waiting for Postgres. A revoked key
is refused everywhere after `ACCESS__KEY_CACHE` at most. Nothing depends on Redis.
"""

import time
from dataclasses import dataclass

import structlog
from anyio import CapacityLimiter, Semaphore, fail_after, to_thread
from cachetools import LRUCache, TTLCache
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.access import key_repository
from app.access.identity import Identity, Scope
from app.access.key_repository import digest_of
from app.db.database import Database
from app.db.models import DEFAULT_TENANT
from app.errors import InvalidKey, StorageUnavailable, Unauthenticated
from app.settings import AccessSettings, DatabaseSettings

log = structlog.get_logger(__name__)

ANONYMOUS = Identity(DEFAULT_TENANT, "anonymous", frozenset(Scope))
_CACHED_KEYS = 10_000
# Look-ups at once of keys that existed before, and of others: a flood of unknown keys occupies only the latter's
# connections and threads.
_FAMILIAR_LOOK_UPS = 4
_OTHER_LOOK_UPS = 2


@dataclass(frozen=True, slots=True)
class _KnownKey:
    """The identity of a key, its expiry, and why it is refused if it is."""

    identity: Identity
    expires_at: float  # Unix time
    refusal: str | None


class _LookUpPlaces:
    """A number of look-ups at once, and threads for them."""

    def __init__(self, at_once: int) -> None:
        self.places = Semaphore(at_once)
        self.threads = CapacityLimiter(at_once)


class Keyring:
    """Identifies callers by their keys. All methods belong to the event loop."""

    def __init__(self, database: Database, access: AccessSettings, connecting: DatabaseSettings) -> None:
        ttl = access.key_cache.total_seconds()
        self._database = database
        self._anonymous = access.anonymous
        self._timeout = connecting.connect_timeout.total_seconds()
        self._known: TTLCache[str, _KnownKey] = TTLCache(_CACHED_KEYS, ttl)
        self._unknown: TTLCache[str, None] = TTLCache(_CACHED_KEYS, ttl)
        # Keys that were found before, however long ago.
        self._familiar: LRUCache[str, None] = LRUCache(_CACHED_KEYS)
        self._familiar_look_ups = _LookUpPlaces(_FAMILIAR_LOOK_UPS)
        self._other_look_ups = _LookUpPlaces(_OTHER_LOOK_UPS)

    async def identify(self, authorization: str | None) -> Identity:
        """The identity of the header's key. Raises Unauthenticated, InvalidKey, and StorageUnavailable."""
        scheme, _, token = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer":
            if self._anonymous and authorization is None:
                return ANONYMOUS
            raise Unauthenticated(
                "A key is needed; send it as `Authorization: Bearer wd_…`.", headers={"WWW-Authenticate": "Bearer"}
            )
        digest = digest_of(token.strip())
        if digest is None:
            raise _invalid("The token is not a key of this service.")
        found = self._known.get(digest)
        if found is None and digest not in self._unknown:
            found = await self._look_up(digest)
        if found is None:
            raise _invalid("There is no such key.")
        if found.refusal is not None:
            raise _invalid(found.refusal)
        if found.expires_at <= time.time():
            raise _invalid("The key has expired; ask for a new one.")
        return found.identity

    async def _look_up(self, digest: str) -> _KnownKey | None:
        look_ups = self._familiar_look_ups if digest in self._familiar else self._other_look_ups
        try:
            with fail_after(self._timeout):
                async with look_ups.places:
                    # A request that was queued before this one may have looked up the same key.
                    if digest in self._known or digest in self._unknown:
                        return self._known.get(digest)
                    found = await to_thread.run_sync(self._fetch, digest, limiter=look_ups.threads)
        except (OperationalError, InterfaceError, PoolTimeoutError, TimeoutError) as error:
            log.warning("postgres_unavailable", error=type(error).__name__)
            raise StorageUnavailable("The key cannot be looked up just now; try again in a few seconds.") from error
        if found is None:
            self._unknown[digest] = None
        else:
            self._known[digest] = found
            self._familiar[digest] = None
        return found

    def _fetch(self, digest: str) -> _KnownKey | None:
        with self._database.statement() as session:
            row = key_repository.get_by_digest(session, digest)
            if row is None:
                return None
            key, tenant = row
            key_repository.update_last_used(session, key)
        refusal = None
        if key.revoked_at is not None:
            refusal = "The key was revoked; ask for a new one."
        elif tenant.disabled_at is not None:
            refusal = "The tenant of this key is disabled; ask the operator."
        identity = Identity(
            tenant_id=tenant.id,
            actor=f"key:{key.id}",
            scopes=frozenset(Scope(scope) for scope in key.scopes),
            requests_per_minute=key.requests_per_minute or tenant.requests_per_minute,
            concurrent_jobs=tenant.concurrent_jobs,
            jobs_per_day=tenant.jobs_per_day,
            bytes_per_day=tenant.bytes_per_day,
            own_requests_per_minute=key.requests_per_minute,
            expires_at=key.expires_at,
        )
        return _KnownKey(identity, float("inf") if key.expires_at is None else key.expires_at.timestamp(), refusal)


def _invalid(detail: str) -> InvalidKey:
    return InvalidKey(detail, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
