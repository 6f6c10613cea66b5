"""Draws and captions, in this process or in several, and keeps every answer in the store.

Each picture is drawn by itself: it depends on its own question alone, not on what else was wanted, on γ, or on where
an earlier run was killed. Small models leave most of a core idle, so one process per core draws nearly twice as much
as one process with all of them.
"""

import io
import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Self, TypeVar

from attribution.build import Placement, build_captioner, build_generator
from attribution.caption import describe
from attribution.catalogue import Source, load_catalogue
from attribution.image import load
from attribution.ports import Caption, Captioner, Deadline, ModelRef, SourceState
from attribution.resynthesise import resynthesise
from attribution.resynthesise.pool import GeneratorPool
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

    def draw(self, order: Order) -> Failure | None:
        """Draws one picture and keeps it."""
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
        buffer = io.BytesIO()
        result.drawings[0].image.save(buffer, "PNG")
        self.store.put(order.key, ".png", buffer.getvalue())
        return None

    def describe(self, task: tuple[Path, str]) -> None:
        """Captions one picture and keeps the sentence under the key beside it."""
        image, key = task
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
        """Draws what is not there yet, in the order given; the number of new pictures, and those that failed."""
        wanted = {order.key: order for order in orders}
        todo = [order for order in wanted.values() if not self.store.has(order.key, ".png")]
        results = self._each(what, _draw, self.hand.draw, todo, len(wanted))
        failures = [failure for failure in results if failure is not None]
        return len(todo) - len(failures), failures

    def describe(self, images: Sequence[Path], keys: Sequence[str]) -> int:
        """Captions what is not captioned yet; how many that were."""
        wanted = dict(zip(keys, images, strict=True))
        todo = [(image, key) for key, image in wanted.items() if not self.store.has(key, ".txt")]
        self._each("captions", _describe, self.hand.describe, todo, len(wanted))
        return len(todo)

    def _each(
        self, what: str, there: Callable[[_Q], _A], here: Callable[[_Q], _A], todo: Sequence[_Q], total: int
    ) -> list[_A]:
        results = []
        with progress(what, total, total - len(todo)) as done:
            for result in map(here, todo) if self._pool is None else self._pool.map(there, todo):
                results.append(result)
                done()
        return results


_hand: Hand | None = None


def _begin(equipment: Equipment) -> None:
    """In a new process: models are loaded later, and nobody outlives the one who ordered the work."""
    global _hand
    _hand = Hand(equipment)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _draw(order: Order) -> Failure | None:
    return _own().draw(order)


def _describe(task: tuple[Path, str]) -> None:
    _own().describe(task)


def _own() -> Hand:
    assert _hand is not None
    return _hand
