"""Captioners that somebody else serves: what a description costs is taken from the job's budget before it is asked for,
and the call is written down as those of sources are.
"""

import uuid
from decimal import Decimal
from typing import Protocol, runtime_checkable

import structlog
from PIL.Image import Image
from sqlalchemy.exc import SQLAlchemyError

from app.db.models import IMAGE, Job, Stage
from app.errors import CaptionerUnavailableProblem
from app.telemetry.metrics import SOURCE_SPEND
from app.vendors import budget
from app.vendors.budget import CallOrder
from attribution.caption.spec import CaptionerSpec
from attribution.ports import Captioner, SourceState
from attribution.resynthesis.remote.gate import Gate
from workers.process import Process

log = structlog.get_logger(__name__)


@runtime_checkable
class RemoteCaptioning(Captioner, Protocol):
    """A captioner whose every call needs leave."""

    def describe_with(self, image: Image, gate: Gate) -> str:
        """The caption; raises CaptionError, and what the gate raises."""
        ...


class CaptionerCalls:
    """A captioner for one job: describes with the leave of the job's budget."""

    def __init__(self, process: Process, job: Job, captioner: RemoteCaptioning, name: str, spec: CaptionerSpec) -> None:
        self.ref = captioner.ref
        self._captioner = captioner
        self._gate = CaptionGate(process, job, name, spec)

    def describe(self, image: Image) -> str:
        """See `Captioner`."""
        return self._captioner.describe_with(image, self._gate)


class CaptionGate:
    """Gives leave to ask a captioner for one job, as far as the job's budget goes."""

    def __init__(self, process: Process, job: Job, name: str, spec: CaptionerSpec) -> None:
        self.process = process
        self.name = name
        self._job = job
        self._external = spec.external
        unknown = process.settings.spend.unknown_price_usd if spec.external else Decimal(0)
        self.price = unknown if spec.price_usd is None else Decimal(str(spec.price_usd))

    def open(self, k: int, images: int) -> "CaptionReservation":
        """Leave for one call. Raises CaptionerUnavailable where the budget does not cover it, or the job has ended."""
        order = CallOrder(
            id=uuid.uuid4(),
            job_id=self._job.id,
            source=self.name,
            k=k,
            images=0,  # none is generated
            external=self._external,
            usd=self.price,
            sent=IMAGE,
            stage=Stage.CAPTIONING,
        )
        with self.process.database.transaction() as session:
            refused = budget.reserve(session, order)
        if refused is None:
            return CaptionReservation(self, order.id)
        if refused.left is None:
            raise CaptionerUnavailableProblem("The job ended before its captioner was asked.")
        raise CaptionerUnavailableProblem(
            f"This job's budget of {refused.budget:.2f} US dollars has {max(refused.left, Decimal(0)):.4f} left; a "
            f"description by {self.name} would cost {order.usd:.4f}. Submit it with a higher `budget_usd`, or a prompt."
        )


class CaptionReservation:
    """Leave to make one call, which is written down already."""

    task: str | None = None

    def __init__(self, gate: CaptionGate, call_id: uuid.UUID) -> None:
        self._gate = gate
        self._call_id = call_id

    def submitted(self, task: str) -> None:
        """Descriptions are not polled for."""

    def close(self, state: SourceState, images: int) -> None:
        """Settles the call; what cannot be settled goes on counting as reserved."""
        gate, usd = self._gate, self._gate.price * images
        try:
            with gate.process.database.statement() as session:
                settled = budget.settle(session, self._call_id, state, usd)
        except SQLAlchemyError as error:
            log.warning("call_not_settled", source=gate.name, error=type(error).__name__)
        else:
            if settled and usd:
                SOURCE_SPEND.labels(gate.name).inc(float(usd))
