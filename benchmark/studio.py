"""Draws and captions, in this process or in several, and keeps every answer in the store.

Pictures of one source are drawn a few at a time, each from its own prompt and noise: beside others it comes out as it
does alone, but for rounding (docs/benchmark.md has the measurement). Small models leave most of a core idle, so one
process per core draws nearly twice as much as one process with all of them.
"""

import io
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol, Self, TypeVar, runtime_checkable

from attribution.build import Placement, build_captioner, build_generator
from attribution.caption import describe
from attribution.catalogue import Source, load_catalogue
from attribution.image import load
from attribution.ports import Caption, Captioner, Deadline, Drawing, ModelRef, SourceState
from attribution.resynthesise import is_blank, resynthesise
from attribution.resynthesise.pool import GeneratorPool
from benchmark.orphans import die_with_parent
from benchmark.progress import progress
from benchmark.store import Store, key_of

_Q = TypeVar("_Q")
_A = TypeVar("_A")
_PROMPTED = ModelRef("benchmark", "1")


@dataclass(frozen=True, slots=True)
class Order:
    """One picture: which source draws what with which seed."""

    source: str
    prompt: str
    seed: int
    key: str

    @classmethod
    def of(cls, source: Source, prompt: str, seed: int) -> "Order":
        """The parameters are part of the question: more steps are another picture."""
        parameters = dict(source.parameters)
        return cls(source.id, prompt, seed, key_of("drawing", source.id, source.revision, parameters, prompt, seed))


@dataclass(frozen=True, slots=True)
class Failure:
    """A picture that was not drawn, and why."""

    order: Order
    state: SourceState
    reason: str


@runtime_checkable
class DrawsEach(Protocol):
    """A generator that draws several prompts at once."""

    def draw_each(self, prompts: Sequence[str], seeds: Sequence[int], deadline: Deadline) -> Sequence[Drawing | None]:
        """One drawing per prompt and its seed, None where there is none."""
        ...


@dataclass(frozen=True)
class Equipment:
    """What a drawing process is built from; it can be sent to one."""

    catalogues: tuple[Path, ...]
    store: Path
    captioner: str
    placement: Placement


class Hand:
    """Models of one process, loaded when they are first needed."""

    def __init__(self, equipment: Equipment) -> None:
        self.equipment = equipment
        self.store = Store(equipment.store)
        self._catalogue = load_catalogue(equipment.catalogues)
        placement = equipment.placement
        self._pool = GeneratorPool(partial(build_generator, placement=placement), placement.memory_mb)

    @cached_property
    def captioner(self) -> Captioner:
        """The captioner, loaded."""
        return build_captioner(self.equipment.captioner, self.equipment.placement)

    def draw(self, orders: Sequence[Order]) -> list[Failure]:
        """Draws some pictures of one source and keeps them. Those that failed together are tried one by one."""
        drawn = self._together(orders) if len(orders) > 1 else [None] * len(orders)
        failures = []
        for order, drawing in zip(orders, drawn, strict=True):
            if drawing is not None and not is_blank(drawing.image):
                self._keep(order, drawing)
            elif (failure := self._alone(order)) is not None:
                failures.append(failure)
        return failures

    def _together(self, orders: Sequence[Order]) -> Sequence[Drawing | None]:
        source = self._catalogue.get(orders[0].source)
        try:
            generator = self._pool.get(source)
            if isinstance(generator, DrawsEach):
                prompts, seeds = [order.prompt for order in orders], [order.seed for order in orders]
                deadline = Deadline.after(len(orders) * source.limits.timeout_seconds)
                return generator.draw_each(prompts, seeds, deadline)
        except Exception:  # noqa: S110
            pass  # whoever it was will say so alone
        return [None] * len(orders)

    def _alone(self, order: Order) -> Failure | None:
        source = self._catalogue.get(order.source)
        errors: list[Exception] = []
        result = resynthesise(
            self._pool.handle(source),
            Caption(order.prompt, _PROMPTED),
            [order.seed],
            Deadline.after(source.limits.timeout_seconds),
            errors.append,
        )
        if result.state is not SourceState.DONE:
            said = f"{result.reason} {errors[0]!r}" if errors else str(result.reason)
            return Failure(order, result.state, said)
        self._keep(order, result.drawings[0])
        return None

    def _keep(self, order: Order, drawing: Drawing) -> None:
        buffer = io.BytesIO()
        drawing.image.save(buffer, "PNG")
        self.store.put(order.key, ".png", buffer.getvalue())

    def describe(self, tasks: Sequence[tuple[Path, str]]) -> None:
        """Captions pictures and keeps each sentence under the key beside it."""
        for image, key in tasks:
            self.store.put(key, ".txt", describe(self.captioner, load(image).image).text.encode())


class Studio:
    """Hands out work to `processes` processes, or does it here if there is one."""

    def __init__(self, equipment: Equipment, processes: int) -> None:
        if processes > 1 and equipment.placement.threads is None:
            threads = max(1, (os.cpu_count() or 1) // processes)
            equipment = replace(equipment, placement=replace(equipment.placement, threads=threads))
        self.hand = Hand(equipment)
        self.store = self.hand.store
        self._pool: ProcessPoolExecutor | None = None
        if processes > 1:
            spawn = multiprocessing.get_context("spawn")  # processes start when there is work, and stay
            self._pool = ProcessPoolExecutor(processes, spawn, _begin, (equipment,))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def draw(self, what: str, orders: Sequence[Order]) -> tuple[int, list[Failure]]:
        """Draws what is not there yet, source by source; the number of new pictures, and those that failed."""
        wanted = {order.key: order for order in orders}
        by_source: dict[str, list[Order]] = {}
        for order in wanted.values():
            if not self.store.has(order.key, ".png"):
                by_source.setdefault(order.source, []).append(order)
        size = self.hand.equipment.placement.batch_size
        batches = [batch for todo in by_source.values() for batch in _cut(todo, size)]
        failures = [each for found in self._each(what, _draw, self.hand.draw, batches, len(wanted)) for each in found]
        return sum(map(len, batches)) - len(failures), failures

    def describe(self, images: Sequence[Path], keys: Sequence[str]) -> int:
        """Captions what is not captioned yet; how many that were."""
        wanted = dict(zip(keys, images, strict=True))
        todo = [(image, key) for key, image in wanted.items() if not self.store.has(key, ".txt")]
        self._each("captions", _describe, self.hand.describe, _cut(todo, 1), len(wanted))
        return len(todo)

    def _each(
        self,
        what: str,
        there: Callable[[Sequence[_Q]], _A],
        here: Callable[[Sequence[_Q]], _A],
        batches: Sequence[Sequence[_Q]],
        total: int,
    ) -> list[_A]:
        results = []
        with progress(what, total, total - sum(map(len, batches))) as done:
            answers = map(here, batches) if self._pool is None else self._pool.map(there, batches)
            for batch, result in zip(batches, answers, strict=True):
                results.append(result)
                done(len(batch))
        return results


def _cut(todo: Sequence[_Q], size: int) -> list[Sequence[_Q]]:
    return [todo[start : start + size] for start in range(0, len(todo), size)]


_hand: Hand | None = None


def _begin(equipment: Equipment) -> None:
    """In a new process: models are loaded later, and nobody outlives the one who ordered the work."""
    global _hand
    _hand = Hand(equipment)
    die_with_parent()


def _draw(orders: Sequence[Order]) -> list[Failure]:
    return _own().draw(orders)


def _describe(tasks: Sequence[tuple[Path, str]]) -> None:
    _own().describe(tasks)


def _own() -> Hand:
    assert _hand is not None
    return _hand
