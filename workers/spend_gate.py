"""The service's gates to vendors: no call is made before its price is reserved from the job's budget.

For a source, room within its limits and a closed circuit come before the money, in this order: a slot is the cheapest
to give back. A call that a dead worker made is not made again: its reservation carries the vendor's handle.
"""

import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal
from threading import Lock

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.db.database import Database
from app.db.models import IMAGE, SourceCall, Stage
from app.errors import CaptionerUnavailableProblem
from app.jobs.source_repository import SourceClaim
from app.settings import SpendSettings
from app.telemetry.metrics import SOURCE_SPEND
from app.vendors import budget
from app.vendors.budget import CallOrder
from app.vendors.circuit import Open, Report
from app.vendors.limits import Slot, Wait
from attribution.caption.spec import CaptionerSpec
from attribution.catalog import Source
from attribution.errors import PromptRefused, QuotaExhausted, RateLimited, SourceTimeout, SourceUnavailable
from attribution.ports import SourceState
from workers.vendors import Vendors

log = structlog.get_logger(__name__)

# A slot is leased for longer than its call may take by this: ending a call takes time, too.
GRACE_SECONDS = 15.0
_REPORTS = {
    SourceState.DONE: Report.SUCCESS,
    SourceState.REFUSED_PROMPT: Report.REFUSAL,
    SourceState.REFUSED_OUTPUT: Report.REFUSAL,
    SourceState.RATE_LIMITED: Report.NEITHER,
}


class NoRoom(RateLimited):
    """Our own limits for the source leave no room: the vendor was not called."""


class CircuitOpen(SourceUnavailable):
    """The source's circuit breaker is open: it has failed lately, and is not called for a while."""


class JobPastStage(Exception):
    """The job has left the stage in which the call would be made."""


class BudgetExceeded(Exception):
    """The job's budget does not cover the call."""


class CallReservation:
    """The reserved price of one call, which is recorded already."""

    def __init__(
        self, database: Database, call_id: uuid.UUID, source: str, image_price: Decimal, task: str | None = None
    ) -> None:
        """`task` is the vendor's handle of the call, if an earlier attempt made it."""
        self.task = task
        self._database = database
        self._call_id = call_id
        self._source = source
        self._image_price = image_price

    def submitted(self, task: str) -> None:
        """Saves the vendor's handle for later attempts. If that fails, this attempt goes on: the call is paid for."""
        self.task = task
        try:
            with self._database.transaction() as session:
                budget.set_vendor_task(session, self._call_id, task)
        except SQLAlchemyError as error:
            log.warning("vendor_task_not_saved", source=self._source, error=type(error).__name__)

    def close(self, state: SourceState, images: int) -> None:
        """Settles the call. A call that cannot be settled goes on counting with its reserved price."""
        usd = self._image_price * images
        try:
            with self._database.statement() as session:
                settled = budget.settle(session, self._call_id, state, usd)
        except SQLAlchemyError as error:
            log.warning("call_not_settled", source=self._source, error=type(error).__name__)
        else:
            if settled and usd:
                SOURCE_SPEND.labels(self._source).inc(float(usd))


def reserve(database: Database, order: CallOrder, purpose: str, alternative: str) -> None:
    """Reserves an order's price and records the call, durably.

    Raises:
        JobPastStage: The job has ended, or left the order's stage.
        BudgetExceeded: With a sentence for the caller; `purpose` is what costs, `alternative` what to submit instead
            of a higher budget.
    """
    with database.transaction() as session:
        refused = budget.reserve(session, order)
    if refused is None:
        return
    if refused.left is None:
        raise JobPastStage
    raise BudgetExceeded(
        f"This job's budget of {refused.budget:.2f} US dollars has {max(refused.left, Decimal(0)):.4f} left; "
        f"{purpose} would cost {order.usd:.4f}. Submit it with a higher `budget_usd`, or {alternative}."
    )


def price_of(entry: Source | CaptionerSpec, settings: SpendSettings) -> Decimal:
    """What one image costs in US dollars. An unknown price is the setting's for a third party, and 0 otherwise."""
    if entry.price_usd is None:
        return settings.unknown_price_usd if entry.external else Decimal(0)
    return Decimal(str(entry.price_usd))


class CaptionGate:
    """The gate of a remote captioner in one job."""

    def __init__(
        self, database: Database, settings: SpendSettings, job_id: uuid.UUID, name: str, spec: CaptionerSpec
    ) -> None:
        self._database = database
        self._job_id = job_id
        self._name = name
        self._external = spec.external
        self._price = price_of(spec, settings)

    def open(self, k: int, images: int) -> CallReservation:
        """Reserves one call. Raises CaptionerUnavailableProblem for a budget too small, or a job that has ended."""
        order = CallOrder(
            id=uuid.uuid4(),
            job_id=self._job_id,
            source=self._name,
            k=k,
            images=0,  # none is generated
            external=self._external,
            usd=self._price,
            sent=IMAGE,
            stage=Stage.CAPTIONING,
        )
        try:
            reserve(self._database, order, f"a description by {self._name}", "a prompt")
        except JobPastStage:
            raise CaptionerUnavailableProblem("The job ended before its captioner was called.") from None
        except BudgetExceeded as error:
            raise CaptionerUnavailableProblem(str(error)) from error
        return CallReservation(self._database, order.id, self._name, self._price)


class SourceGate:
    """The gate of one remote source in one job, for the threads that generate its images."""

    def __init__(
        self,
        database: Database,
        vendors: Vendors,
        claim: SourceClaim,
        entry: Source,
        earlier: Sequence[SourceCall],
        spare: list[Slot],
        *,
        freed: Callable[[], None],
        granted: Callable[[], None],
    ) -> None:
        """Of a claimed source.

        Args:
            earlier: The calls of earlier attempts; those with a vendor's handle that are not settled are polled.
            spare: Slots that were acquired for this job already; used ones are removed.
            freed: Called when a slot is released while other jobs wait for one.
            granted: Called for each reservation, before its call is made.
        """
        self.vendors = vendors
        self.entry = entry
        self.freed = freed
        self._database = database
        self._claim = claim
        self._granted = granted
        self._spare = spare
        self._price = price_of(entry, vendors.spend_settings)
        self._lock = Lock()
        self._ordered = {call.k: call for call in earlier if call.vendor_task is not None and call.settled_at is None}
        self._had_room = False
        self._prompt_refused = False

    def open(self, k: int, images: int) -> "SourceReservation":
        """Reserves one call. Raises NoRoom, CircuitOpen, QuotaExhausted, or SourceTimeout where the job has ended."""
        with self._lock:
            ordered = self._ordered.pop(k, None)
        reservation = self._order(k, images) if ordered is None else self._resume(k, ordered)
        self._granted()
        return reservation

    def refused(self) -> None:
        """Records that the caption was refused and is not sent again. Called before the slot is released."""
        self._prompt_refused = True

    def report_of(self, state: SourceState) -> Report:
        """What a call's end means for the circuit; a timeout counts only if the call had the source's whole time."""
        if state is SourceState.TIMEOUT and self._claim.remaining.total_seconds() < self.entry.limits.timeout_seconds:
            return Report.NEITHER
        return _REPORTS.get(state, Report.FAILURE)

    def _resume(self, k: int, ordered: SourceCall) -> "SourceReservation":
        try:
            slot = self._acquire(ordered.id)
        except NoRoom:
            self._ordered[k] = ordered
            raise
        return SourceReservation(self, self._database, slot, ordered.reserved_usd / ordered.images, ordered.vendor_task)

    def _order(self, k: int, images: int) -> "SourceReservation":
        slot = self._acquire(None)
        try:
            if self._prompt_refused:  # while this thread waited for the slot
                raise PromptRefused(f"{self.entry.name} has refused the caption already.")
            self._check_circuit()
            self._reserve(slot, k, images)
        except BaseException:
            if self.vendors.limits.release(slot, unused=True):
                self.freed()
            raise
        return SourceReservation(self, self._database, slot, self._price)

    def _acquire(self, ordered: uuid.UUID | None) -> Slot:
        with self._lock:
            if ordered is None and self._spare:
                self._had_room = True
                return self._spare.pop()
            queued = self._had_room
        limits = self.entry.limits
        found = self.vendors.limits.acquire(
            self.entry.id,
            limits,
            limits.timeout_seconds + GRACE_SECONDS,
            slot_id=ordered,
            ordering=ordered is None,
            queued=queued,
        )
        if isinstance(found, Wait):
            raise NoRoom(f"{self.entry.name} is called as often as its limits allow.", found.seconds)
        self._had_room = True
        return found

    def _check_circuit(self) -> None:
        try:
            self.vendors.circuits.check(self.entry.id, self.entry.limits.timeout_seconds + GRACE_SECONDS)
        except Open as error:
            raise CircuitOpen(str(error)) from error

    def _reserve(self, slot: Slot, k: int, images: int) -> None:
        row = self._claim.row
        order = CallOrder(slot.id, row.job_id, row.source, k, images, self.entry.external, self._price * images)
        try:
            reserve(self._database, order, self.entry.name, "fewer sources")
        except JobPastStage:
            self.vendors.circuits.report(self.entry.id, Report.NEITHER)
            raise SourceTimeout("The job ended before this source was called.") from None
        except BudgetExceeded as error:
            self.vendors.circuits.report(self.entry.id, Report.NEITHER)
            raise QuotaExhausted(str(error)) from error


class SourceReservation(CallReservation):
    """The reservation of one call to a source, with its slot among the calls that may run at once."""

    def __init__(
        self, gate: SourceGate, database: Database, slot: Slot, image_price: Decimal, task: str | None = None
    ) -> None:
        super().__init__(database, slot.id, slot.source, image_price, task)
        self._gate = gate
        self._slot = slot

    def close(self, state: SourceState, images: int) -> None:
        """Settles the call, reports to the circuit and releases the slot."""
        super().close(state, images)
        gate = self._gate
        gate.vendors.circuits.report(self._slot.source, gate.report_of(state))
        if state is SourceState.REFUSED_PROMPT:
            gate.refused()
        if gate.vendors.limits.release(self._slot):
            gate.freed()
