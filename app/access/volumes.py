"""Volumes of a day: the jobs that a tenant submitted, and the bytes that it had this service read.

Every accepted job counts, also one whose answer was cached. Bytes are those of request bodies, whatever became of the
request, and of files fetched from addresses. Each API process adds what it counted to Postgres once a second, and reads
there what all have counted: with several processes a limit is passed by what they accept within that second at most,
and a process that is killed loses that second's counts.
"""

import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import structlog
from anyio import Lock, to_thread
from cachetools import LRUCache
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.access.identity import Identity
from app.access.rates import daily_policies, daily_remaining, too_many_bytes_today, too_many_jobs_today
from app.db.database import Database
from app.db.models import TenantVolume
from app.settings import AccessSettings

log = structlog.get_logger(__name__)

_FRESH_SECONDS = 1.0
_CACHED_TENANTS = 10_000


@dataclass(frozen=True, slots=True)
class Volume:
    """Jobs and bytes."""

    jobs: int = 0
    bytes: int = 0

    def __add__(self, other: "Volume") -> "Volume":
        return Volume(self.jobs + other.jobs, self.bytes + other.bytes)


_NONE = Volume()


def today() -> date:
    """The day that volumes are counted for: it changes at midnight UTC."""
    return datetime.now(UTC).date()


def seconds_left() -> int:
    """Until the next day begins."""
    now = datetime.now(UTC)
    tomorrow = datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
    return max(1, round((tomorrow - now).total_seconds()))


def add_volumes(session: Session, day: date, volumes: Mapping[uuid.UUID, Volume]) -> None:
    """Adds to the volumes of a day, in the order of the tenants' ids, so that two processes cannot deadlock."""
    rows = [
        {"day": day, "tenant_id": tenant_id, "jobs": volume.jobs, "bytes": volume.bytes}
        for tenant_id, volume in sorted(volumes.items())
    ]
    if rows:
        session.execute(_ADD, rows)


_NEW = insert(TenantVolume)
_ADD = _NEW.on_conflict_do_update(
    index_elements=[TenantVolume.day, TenantVolume.tenant_id],
    set_={"jobs": TenantVolume.jobs + _NEW.excluded.jobs, "bytes": TenantVolume.bytes + _NEW.excluded.bytes},
)
_READ = text("SELECT tenant_id, jobs, bytes FROM tenant_volumes WHERE day = :day").bindparams(bindparam("day"))


class DailyVolumes:
    """The volumes of all tenants, as this process knows them. All methods but `close` belong to the event loop."""

    def __init__(self, database: Database, settings: AccessSettings) -> None:
        self._database = database
        self._settings = settings
        self._day = today()
        self._counted: Mapping[uuid.UUID, Volume] = {}  # as Postgres had it
        self._added: dict[uuid.UUID, Volume] = {}  # by this process since
        self._being_written: Mapping[uuid.UUID, Volume] = {}  # of these
        self._exchange_at = 0.0
        self._exchanging = Lock()
        self._fields: LRUCache[uuid.UUID, tuple[int, str, str]] = LRUCache(_CACHED_TENANTS)

    def add(self, tenant_id: uuid.UUID, jobs: int = 0, size: int = 0) -> None:
        """Counts jobs, and bytes."""
        if jobs or size:
            self._fields.pop(tenant_id, None)
            self._added[tenant_id] = self._added.get(tenant_id, _NONE) + Volume(jobs, size)

    def used(self, tenant_id: uuid.UUID) -> Volume:
        """What a tenant has used of the present day."""
        if self._day != today():
            return _NONE
        parts = (self._counted, self._being_written, self._added)
        return sum((each.get(tenant_id, _NONE) for each in parts), _NONE)

    def limits(self, caller: Identity) -> Volume:
        """What the caller's tenant may use a day."""
        return Volume(
            caller.jobs_per_day or self._settings.jobs_per_day, caller.bytes_per_day or self._settings.bytes_per_day
        )

    def fields(self, caller: Identity) -> tuple[str, str]:
        """The caller's part of `RateLimit-Policy` and of `RateLimit`; made once a second, as every poll has them."""
        now = int(time.monotonic())
        found = self._fields.get(caller.tenant_id)
        if found is None or found[0] != now:
            used, limits = self.used(caller.tenant_id), self.limits(caller)
            left = daily_remaining(limits.jobs - used.jobs, limits.bytes - used.bytes, seconds_left())
            found = self._fields[caller.tenant_id] = (now, daily_policies(limits.jobs, limits.bytes), left)
        return found[1:]

    async def check(self, caller: Identity, jobs: int = 1) -> None:
        """Raises QuotaExceeded where the tenant may not submit so many more jobs, or have no more bytes read, today."""
        await self._refresh()
        used, limits = self.used(caller.tenant_id), self.limits(caller)
        if used.jobs + jobs > limits.jobs:
            raise too_many_jobs_today(limits.jobs, seconds_left())
        if used.bytes >= limits.bytes:
            raise too_many_bytes_today(limits.bytes, seconds_left())

    def close(self) -> None:
        """Adds what is left to Postgres."""
        with suppress(SQLAlchemyError):
            self._write(today(), self._added)

    async def _refresh(self) -> None:
        if time.monotonic() >= self._exchange_at:
            async with self._exchanging:
                if time.monotonic() >= self._exchange_at:
                    await self._exchange(today())
                    self._exchange_at = time.monotonic() + _FRESH_SECONDS

    async def _exchange(self, day: date) -> None:
        self._being_written, self._added = self._added, {}
        try:
            self._counted = await to_thread.run_sync(self._write, day, self._being_written)
            self._day = day
            self._fields.clear()
        except SQLAlchemyError as error:  # accepting meets it, too, and reports it
            log.warning("postgres_unavailable", error=type(error).__name__)
            for tenant_id, volume in self._being_written.items():
                self._added[tenant_id] = self._added.get(tenant_id, _NONE) + volume
        self._being_written = {}

    def _write(self, day: date, added: Mapping[uuid.UUID, Volume]) -> Mapping[uuid.UUID, Volume]:
        """Adds to Postgres; returns what all processes have added there."""
        with self._database.transaction(durable=False) as session:
            add_volumes(session, day, added)
            return {row.tenant_id: Volume(row.jobs, row.bytes) for row in session.execute(_READ, {"day": day})}
