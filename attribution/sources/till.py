"""Counts the images that a vendor bills for what a probe orders; whatever draws here bills nothing."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from attribution.ports import Deadline, Drawing, Generator, ModelRef, SourceState
from attribution.resynthesise.remote.gate import Gate, OpenPermit


@runtime_checkable
class Ordered(Generator, Protocol):
    """A generator that orders each drawing through a gate."""

    def draw_one(self, prompt: str, k: int, seed: int, deadline: Deadline, gate: Gate) -> Drawing:
        """The k-th drawing."""
        ...

    def remark(self, prompt: str) -> str | None:
        """A sentence about a prompt it could not take as it is."""
        ...


class Till:
    """A gate that lets everything through and adds up `images`."""

    def __init__(self) -> None:
        self.images = 0

    def open(self, k: int, images: int) -> "_Receipt":
        """A permit whose end is counted."""
        return _Receipt(self)


class _Receipt(OpenPermit):
    def __init__(self, till: Till) -> None:
        super().__init__()
        self._till = till

    def close(self, state: SourceState, images: int) -> None:
        self._till.images += images


class Counted:
    """Draws by ordering one after the other, through a till. A limit is not waited for."""

    def __init__(self, generator: Ordered, till: Till) -> None:
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

    def draw(self, prompt: str, seeds: Sequence[int], deadline: Deadline) -> list[Drawing]:
        """One drawing per seed."""
        return [self._generator.draw_one(prompt, k, seed, deadline, self._till) for k, seed in enumerate(seeds)]

    def remark(self, prompt: str) -> str | None:
        """The generator's."""
        return self._generator.remark(prompt)
