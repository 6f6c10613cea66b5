"""Asked before every call that a vendor may bill, and told what became of it: limits, circuit, budget.

The method needs none of these and lets everything through (`OpenGate`). The service's gate keeps limits and circuits
in Redis and the budget in Postgres; an adapter only knows this port.
"""

from typing import Protocol, runtime_checkable

from attribution.ports import Deadline, GeneratedImage, Generator, SourceState


class Reservation(Protocol):
    """Leave to make one call. Whoever was given it closes it, whatever happens in between but a dead process."""

    @property
    def task(self) -> str | None:
        """The vendor's handle of an earlier attempt at this generated image: poll that instead of asking, and paying, again."""
        ...

    def submitted(self, task: str) -> None:
        """The vendor has taken the order and named it. Called before the first poll, so that it survives us."""
        ...

    def close(self, state: SourceState, images: int) -> None:
        """How the call ended, and how many images the vendor bills for it.

        Where nobody can know (the connection broke after the order was sent), all that were ordered.
        """
        ...


class Gate(Protocol):
    """Gives leave to call one source for one job."""

    def open(self, k: int, images: int) -> Reservation:
        """Leave to order `images` generated images, the first of which is the k-th.

        Raises RateLimited with the seconds to wait, QuotaExhausted where the budget does not cover it, and
        SourceUnavailable while the source's circuit is open.
        """
        ...


@runtime_checkable
class OneByOne(Generator, Protocol):
    """A generator that is asked for one generated image at a time, with leave for each: how the service generates at vendors."""

    def generate_one(
        self,
        prompt: str,
        k: int,
        seed: int,
        deadline: Deadline,
        gate: Gate,
        safety_identifier: str | None = None,
    ) -> GeneratedImage:
        """The k-th generating. `safety_identifier` is an opaque name of the tenant, for vendors that ask for one.

        Raises SourceError, among them what the gate raises; a RateLimited is never waited for in here.
        """
        ...


class FreeReservation:
    """Remembers the vendor's handle for as long as the object lives, and nothing else."""

    def __init__(self) -> None:
        self.task: str | None = None

    def submitted(self, task: str) -> None:
        """Keeps it."""
        self.task = task

    def close(self, state: SourceState, images: int) -> None:
        """Nobody counts here."""


class OpenGate:
    """Lets everything through."""

    def open(self, k: int, images: int) -> Reservation:
        """A permit."""
        return FreeReservation()
