"""The service's gate to vendors: nothing is ordered without room within the limits, a closed circuit and the money.

In this order, because each is given back more dearly than the one before. What was ordered by a worker that died is not
ordered again: the permit carries the vendor's handle of it.
"""

import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal
from threading import Lock

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.db.models import SourceCall
from app.jobs.source_repository import SourceClaim
from app.telemetry.metrics import SOURCE_SPEND
from app.vendors import budget
from app.vendors.budget import BudgetRefusal, CallOrder
from app.vendors.circuit import Open, Report
from app.vendors.limits import Slot, Wait
from attribution.catalog import Source
from attribution.errors import PromptRefused, QuotaExhausted, RateLimited, SourceTimeout, SourceUnavailable
from attribution.ports import SourceState
from workers.process import Process

log = structlog.get_logger(__name__)

# How much longer than its call may take a place is kept for it: the end of a call takes time, too.
GRACE_SECONDS = 15.0
_REPORTS = {
    SourceState.DONE: Report.SUCCESS,
    SourceState.REFUSED_PROMPT: Report.REFUSAL,
    SourceState.REFUSED_OUTPUT: Report.REFUSAL,
    SourceState.RATE_LIMITED: Report.NEITHER,
}


class NoRoom(RateLimited):
    """Our own limits for the source: the vendor was not asked."""


class CircuitOpen(SourceUnavailable):
    """The source is left alone for a while."""


def price_of(entry: Source, unknown: Decimal) -> Decimal:
    """What one image of the source costs in US dollars; what nobody told us costs something if it is a vendor's."""
    if entry.price_usd is None:
        return unknown if entry.external else Decimal(0)
    return Decimal(str(entry.price_usd))


class SourceGate:
    """The gate of one source in one job, for the threads that generate it."""

    def __init__(
        self,
        process: Process,
        claim: SourceClaim,
        entry: Source,
        earlier: Sequence[SourceCall],
        spare: list[Slot],
        *,
        freed: Callable[[], None],
        granted: Callable[[], None],
    ) -> None:
        """`spare` are places that were taken for this job already; `freed` is told of places that others wait for."""
        self.process = process
        self.entry = entry
        self.freed = freed
        self._claim = claim
        self._granted = granted
        self._spare = spare
        self._price = price_of(entry, process.settings.spend.unknown_price_usd)
        self._lock = Lock()
        self._ordered = {call.k: call for call in earlier if call.vendor_task is not None and call.settled_at is None}
        self._inside = False
        self._refused = False

    def open(self, k: int, images: int) -> "SourceReservation":
        """Leave to order. Raises NoRoom, CircuitOpen, QuotaExhausted, or SourceTimeout where the job has ended."""
        with self._lock:
            ordered = self._ordered.pop(k, None)
        if ordered is not None:
            try:
                slot = self._place(ordered.id)
            except NoRoom:
                self._ordered[k] = ordered
                raise
            permit = SourceReservation(self, slot, ordered.reserved_usd / ordered.images, ordered.vendor_task)
        else:
            slot = self._place(None)
            try:
                if self._refused:  # while this thread waited for the place
                    raise PromptRefused(f"{self.entry.name} has refused the caption already.")
                self._check(slot)
                self._reserve(slot, k, images)
            except BaseException:
                self.give_back(slot)
                raise
            permit = SourceReservation(self, slot, self._price, None)
        self._granted()
        return permit

    def give_back(self, slot: Slot) -> None:
        """Of a place that nothing was ordered at."""
        if self.process.limits.release(slot, unused=True):
            self.freed()

    def refused(self) -> None:
        """The caption will not be sent again. To be told before the place is given to others."""
        self._refused = True

    def verdict(self, state: SourceState) -> Report:
        """What a call's end says of the vendor; that it was too slow only if it had all the time that its file says."""
        if state is SourceState.TIMEOUT and self._claim.remaining.total_seconds() < self.entry.limits.timeout_seconds:
            return Report.NEITHER
        return _REPORTS.get(state, Report.FAILURE)

    def _place(self, ordered: uuid.UUID | None) -> Slot:
        with self._lock:
            if ordered is None and self._spare:
                self._inside = True
                return self._spare.pop()
            queued = self._inside
        limits = self.entry.limits
        found = self.process.limits.acquire(
            self.entry.id,
            limits,
            limits.timeout_seconds + GRACE_SECONDS,
            slot_id=ordered,
            ordering=ordered is None,
            queued=queued,
        )
        if isinstance(found, Wait):
            raise NoRoom(f"{self.entry.name} is asked as often as it may be.", found.seconds)
        self._inside = True
        return found

    def _check(self, slot: Slot) -> None:
        try:
            self.process.circuits.check(self.entry.id, self.entry.limits.timeout_seconds + GRACE_SECONDS)
        except Open as error:
            raise CircuitOpen(str(error)) from error

    def _reserve(self, slot: Slot, k: int, images: int) -> None:
        row = self._claim.row
        order = CallOrder(slot.id, row.job_id, row.source, k, images, self.entry.external, self._price * images)
        refused: BudgetRefusal | None = None
        try:
            with self.process.database.transaction() as session:
                refused = budget.reserve(session, order)
        finally:
            if refused is not None:
                self.process.circuits.report(self.entry.id, Report.NEITHER)
        if refused is None:
            return
        if refused.left is None:
            raise SourceTimeout("The job ended before this source was asked.")
        raise QuotaExhausted(
            f"This job's budget of {refused.budget:.2f} US dollars has {max(refused.left, Decimal(0)):.4f} left; "
            f"{self.entry.name} would cost {order.usd:.4f}. Submit it with a higher `budget_usd`, or fewer sources."
        )


class SourceReservation:
    """Leave to make one call, which is written down already."""

    def __init__(self, gate: SourceGate, slot: Slot, price: Decimal, task: str | None) -> None:
        self._gate = gate
        self._slot = slot
        self._price = price
        self._task = task

    @property
    def task(self) -> str | None:
        """The vendor's handle of what an earlier attempt ordered."""
        return self._task

    def submitted(self, task: str) -> None:
        """Keeps the handle for whoever comes after us. Should that fail, the generated image that is paid for goes on."""
        self._task = task
        try:
            with self._gate.process.database.transaction() as session:
                budget.set_vendor_task(session, self._slot.id, task)
        except SQLAlchemyError as error:
            log.warning("task_not_kept", source=self._slot.source, error=type(error).__name__)

    def close(self, state: SourceState, images: int) -> None:
        """Settles the call and gives its place to others. What cannot be settled goes on counting as reserved."""
        gate, usd = self._gate, self._price * images
        try:
            with gate.process.database.statement() as session:
                settled = budget.settle(session, self._slot.id, state, usd)
        except SQLAlchemyError as error:
            log.warning("call_not_settled", source=self._slot.source, error=type(error).__name__)
        else:
            if settled and usd:
                SOURCE_SPEND.labels(self._slot.source).inc(float(usd))
        gate.process.circuits.report(self._slot.source, gate.verdict(state))
        if state is SourceState.REFUSED_PROMPT:
            gate.refused()
        if gate.process.limits.release(self._slot):
            gate.freed()
