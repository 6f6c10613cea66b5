"""Renews the leases of the claims that this process holds, and ends the process when a step hangs.

A lease is short, so that a killed worker's steps are requeued within seconds; it is renewed here while the worker
lives, so that a step may take longer than its lease. A step that hangs past its limit in native code cannot be stopped
from inside: the process ends itself, its supervisor starts another, and the sweep requeues its steps.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from threading import Event, Lock, Thread

import structlog
from sqlalchemy import func, update

from app.db.database import Database
from app.db.models import Job, JobSource
from app.jobs import repository, source_repository
from app.jobs.repository import job_claim_fence
from app.jobs.source_repository import source_claim_fence

log = structlog.get_logger(__name__)
EXIT_CODE = 75  # "try again later" in sysexits.h
# How long after its limit a step may still end by itself, e.g. after a last denoising step.
GRACE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class _HeldLease:
    claim: Job | JobSource
    ends_at: float


class Leases:
    """Renews the leases of the claims being held, and watches for steps that hang."""

    def __init__(self, database: Database, lease: timedelta) -> None:
        self._database = database
        self._lease = lease
        self._held: dict[int, _HeldLease] = {}
        self._lock = Lock()
        self._stopped = Event()
        self.ending = False  # set when the process stops: it claims nothing more

    def start(self) -> None:
        """Starts renewing and watching, in two daemon threads: a Postgres that hangs must not stop the watching."""
        Thread(target=self._renew_repeatedly, name="leases", daemon=True).start()
        Thread(target=self._watch, name="watchdog", daemon=True).start()

    @contextmanager
    def hold(self, claim: Job | JobSource, limit: timedelta) -> Iterator[None]:
        """Renews the claim's lease within the block; the process ends if the block outlives its limit by far."""
        entry = _HeldLease(claim, time.monotonic() + limit.total_seconds() + GRACE_SECONDS)
        with self._lock:
            self._held[id(entry)] = entry
        try:
            yield
        finally:
            with self._lock:
                del self._held[id(entry)]

    def renew(self) -> None:
        """Renews every held claim once; a claim that was fenced off meanwhile is left alone."""
        with self._lock:
            entries = list(self._held.values())
        for entry in entries:
            claim = entry.claim
            table, which = (
                (Job, job_claim_fence(claim)) if isinstance(claim, Job) else (JobSource, source_claim_fence(claim))
            )
            with self._database.statement() as session:
                session.execute(update(table).where(which).values(lease_until=func.now() + self._lease))

    def release_steps(self) -> list[Job | JobSource]:
        """Releases every held claim without counting the attempt; returns those that had not been fenced off."""
        with self._lock:
            claims = [entry.claim for entry in self._held.values()]
        released = []
        for claim in claims:
            with self._database.statement() as session:
                if isinstance(claim, Job):
                    ours = repository.release_claim_uncounted(session, claim)
                else:
                    ours = source_repository.release_claim_uncounted(session, claim)
            if ours:
                released.append(claim)
        return released

    def _renew_repeatedly(self) -> None:
        while not self._stopped.wait(self._lease.total_seconds() / 3):
            try:
                self.renew()
            except Exception as error:  # Postgres is unavailable; it may be back before the leases end
                log.warning("lease_not_renewed", error=type(error).__name__)

    def _watch(self) -> None:
        while not self._stopped.wait(min(1.0, self._lease.total_seconds() / 3)):
            with self._lock:
                hanging = [entry for entry in self._held.values() if time.monotonic() > entry.ends_at]
            if hanging:
                log.critical("step_hangs", table=hanging[0].claim.__tablename__)
                os._exit(EXIT_CODE)
