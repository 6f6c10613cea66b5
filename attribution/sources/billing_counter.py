"""Counts the images that a vendor bills for what a probe orders; whatever generates here bills nothing."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from attribution.ports import Deadline, GeneratedImage, Generator, ModelRef, SourceState
from attribution.resynthesis.remote.gate import FreeReservation, Gate


@runtime_checkable
class Ordered(Generator, Protocol):
    """A generator that orders each generated image through a gate."""

    def generate_one(self, prompt: str, k: int, seed: int, deadline: Deadline, gate: Gate) -> GeneratedImage:
        """The k-th generating."""
        ...

    def remark(self, prompt: str) -> str | None:
        """A sentence about a prompt it could not take as it is."""
        ...


class BillingCounter:
    """A gate that lets everything through and adds up `images`."""

    def __init__(self) -> None:
        self.images = 0

    def open(self, k: int, images: int) -> "_Receipt":
        """A permit whose end is counted."""
        return _Receipt(self)


class _Receipt(FreeReservation):
    def __init__(self, till: BillingCounter) -> None:
        super().__init__()
        self._till = till

    def close(self, state: SourceState, images: int) -> None:
        self._till.images += images


class Counted:
    """Generates by ordering one after the other, through a till. A limit is not waited for."""

    def __init__(self, generator: Ordered, till: BillingCounter) -> None:
        self._generator = generator
        self._till = till

    @property
    def source(self) -> str:
        """The generator's."""
        return self._generator.source

    @property
    def ref(self) -> ModelRef:
        """The generator's."""
        return self._generator.ref

    def generate(self, prompt: str, seeds: Sequence[int], deadline: Deadline) -> list[GeneratedImage]:
        """One generated image per seed."""
        return [self._generator.generate_one(prompt, k, seed, deadline, self._till) for k, seed in enumerate(seeds)]

    def remark(self, prompt: str) -> str | None:
        """The generator's."""
        return self._generator.remark(prompt)
