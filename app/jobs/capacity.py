"""Whether one more job can be accepted, before its image is read: open jobs are counted once a second.

This refuses most of a flood cheaply. A tenant's limit is kept exactly only where the job is committed. While too many
jobs are open, tenants are refused that have more than an equal share of them, so that one tenant's flood is not the
others' trouble; all together then have fewer than twice as many.
"""

import time
import uuid

import structlog
from anyio import Lock, to_thread
from sqlalchemy.exc import SQLAlchemyError

from app.access.identity import Identity
from app.access.rates import jobs_wait_too_long, queues_too_long, too_many_jobs
from app.db.database import Database
from app.jobs.admission import OpenJobs, is_tenant_full, measure_open_jobs
from app.settings import Settings

log = structlog.get_logger(__name__)

_FRESH_SECONDS = 1.0


class Capacity:
    """The length of the queues. All methods belong to the event loop."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._max_open = settings.job.max_open
        self._max_waiting = settings.job.max_waiting.total_seconds()
        self._concurrent_jobs = settings.access.concurrent_jobs
        self._load: dict[uuid.UUID, OpenJobs] = {}
        self._measure_at = 0.0
        self._measuring = Lock()

    async def check(self, caller: Identity, jobs: int = 1) -> None:
        """Raises ReducedCapacity while the queues are too long, QuotaExceeded above the tenant's limit of open jobs."""
        load = await self._current()
        own = load.get(caller.tenant_id, OpenJobs())
        if own.oldest_seconds > self._max_waiting:
            raise jobs_wait_too_long(self._max_open)
        share = self._max_open / len(load.keys() | {caller.tenant_id})
        if sum(each.count for each in load.values()) + jobs > self._max_open and own.count + jobs > share:
            raise queues_too_long(self._max_open)
        limit = caller.concurrent_jobs or self._concurrent_jobs
        # A second is long for a caller that submits its next job as soon as one ends.
        if own.count >= limit and await to_thread.run_sync(self._is_full, caller.tenant_id, limit):
            raise too_many_jobs()

    async def invalidate(self) -> None:
        """Has the load measured again at the next check."""
        self._measure_at = 0.0

    async def _current(self) -> dict[uuid.UUID, OpenJobs]:
        if time.monotonic() >= self._measure_at:
            async with self._measuring:
                if time.monotonic() >= self._measure_at:
                    try:
                        self._load = await to_thread.run_sync(self._measure)
                    except SQLAlchemyError as error:  # accepting meets it, too, and reports it
                        log.warning("postgres_unavailable", error=type(error).__name__)
                    self._measure_at = time.monotonic() + _FRESH_SECONDS
        return self._load

    def _measure(self) -> dict[uuid.UUID, OpenJobs]:
        with self._database.statement() as session:
            return measure_open_jobs(session)

    def _is_full(self, tenant_id: uuid.UUID, limit: int) -> bool:
        with self._database.statement() as session:
            return is_tenant_full(session, tenant_id, limit)
