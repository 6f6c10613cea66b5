"""The port that reserves every billable call before it is made and settles it afterwards: limits, circuit, budget.

The method needs none of these and uses `OpenGate`. The service implements the port with limits and circuits in Redis
and the budget in Postgres.
"""

from typing import Protocol, runtime_checkable

from attribution.ports import Deadline, GeneratedImage, Generator, SourceState


class Reservation(Protocol):
    """Permission to make one call. Its holder must close it, whatever the outcome."""

    @property
    def task(self) -> str | None:
        """The vendor's id of an earlier submission of this image: poll it instead of submitting, and paying, again."""
        ...

    def submitted(self, task: str) -> None:
        """Store the vendor's id of the submission. Called before the first poll, so that it survives a crash."""
        ...

    def close(self, state: SourceState, images: int) -> None:
        """Record how the call ended and how many images the vendor bills for it.

        Where the outcome is unknown (the connection broke after the request was sent), all requested images count.
        """
        ...


class Gate(Protocol):
    """Reserves calls to one source for one job."""

    def open(self, k: int, images: int) -> Reservation:
        """Reserve the generation of `images` images, beginning with the k-th.

        Raises RateLimited with the seconds to wait, QuotaExhausted if the budget does not cover the call, and
        SourceUnavailable while the source's circuit is open.
        """
        ...


@runtime_checkable
class GatedGenerator(Generator, Protocol):
    """A generator that makes one image per call and reserves each call: how the service uses vendors."""

    def generate_one(
        self,
        prompt: str,
        k: int,
        seed: int,
        deadline: Deadline,
        gate: Gate,
        safety_identifier: str | None = None,
    ) -> GeneratedImage:
        """The k-th image of a job.

        Args:
            prompt: The caption.
            k: The index of the image among the γ images of the source.
            seed: Its seed.
            deadline: When to give up.
            gate: Reserves the call before anything is sent.
            safety_identifier: An opaque name of the tenant, for vendors that distinguish their customers' users.

        Raises:
            SourceError: Among them what the gate raises; a RateLimited is never waited for in here.
        """
        ...


class FreeReservation:
    """Keeps the vendor's task id for as long as the object lives, and counts nothing."""

    def __init__(self) -> None:
        self.task: str | None = None

    def submitted(self, task: str) -> None:
        """Keep the id."""
        self.task = task

    def close(self, state: SourceState, images: int) -> None:
        """Do nothing."""


class OpenGate:
    """Allows every call."""

    def open(self, k: int, images: int) -> Reservation:
        """A reservation that counts nothing."""
        return FreeReservation()
