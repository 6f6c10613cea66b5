"""Generates and captions, in this process or in several, and keeps every answer in the store.

Images of one source are generated a few at a time, each from its own prompt and noise: beside others it comes out as it
does alone, but for rounding (docs/benchmark.md has the measurement). Small models leave most of a core idle, so one
process per core generates nearly twice as much as one process with all of them.
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
from attribution.catalog import Source, load_catalog
from attribution.image import load
from attribution.ports import Caption, Captioner, Deadline, GeneratedImage, ModelRef, SourceState
from attribution.resynthesis import is_blank, resynthesize
from attribution.resynthesis.pool import GeneratorPool
from evaluation.parent_death import die_with_parent
from evaluation.progress import progress
from evaluation.store import Store, key_of

_Q = TypeVar("_Q")
_A = TypeVar("_A")
_PROMPTED = ModelRef("benchmark", "1")


@dataclass(frozen=True, slots=True)
class GenerationOrder:
    """One image: which source generates what with which seed."""

    source: str
    prompt: str
    seed: int
    key: str

    @classmethod
    def of(cls, source: Source, prompt: str, seed: int) -> "GenerationOrder":
        """The parameters are part of the question: more steps are another image."""
        parameters = dict(source.parameters)
        return cls(
            source.id, prompt, seed, key_of("generated_image", source.id, source.revision, parameters, prompt, seed)
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that was not generated, and why."""

    order: GenerationOrder
    state: SourceState
    reason: str


@runtime_checkable
class GeneratesEach(Protocol):
    """A generator that generates several prompts at once."""

    def generate_each(
        self, prompts: Sequence[str], seeds: Sequence[int], deadline: Deadline
    ) -> Sequence[GeneratedImage | None]:
        """One generated image per prompt and its seed, None where there is none."""
        ...


@dataclass(frozen=True)
class ModelSet:
    """What a generated image process is built from; it can be sent to one."""

    catalogues: tuple[Path, ...]
    store: Path
    captioner: str
    placement: Placement


class GenerationProcess:
    """Models of one process, loaded when they are first needed."""

    def __init__(self, equipment: ModelSet) -> None:
        self.equipment = equipment
        self.store = Store(equipment.store)
        self._catalog = load_catalog(equipment.catalogues)
        placement = equipment.placement
        self._pool = GeneratorPool(partial(build_generator, placement=placement), placement.memory_mb)

    @cached_property
    def captioner(self) -> Captioner:
        """The captioner, loaded."""
        return build_captioner(self.equipment.captioner, self.equipment.placement)

    def generate(self, orders: Sequence[GenerationOrder]) -> list[Failure]:
        """Generates some images of one source and keeps them. Those that failed together are tried one by one."""
        generated = self._together(orders) if len(orders) > 1 else [None] * len(orders)
        failures = []
        for order, generated_image in zip(orders, generated, strict=True):
            if generated_image is not None and not is_blank(generated_image.image):
                self._keep(order, generated_image)
            elif (failure := self._alone(order)) is not None:
                failures.append(failure)
        return failures

    def _together(self, orders: Sequence[GenerationOrder]) -> Sequence[GeneratedImage | None]:
        source = self._catalog.get(orders[0].source)
        try:
            generator = self._pool.get(source)
            if isinstance(generator, GeneratesEach):
                prompts, seeds = [order.prompt for order in orders], [order.seed for order in orders]
                deadline = Deadline.after(len(orders) * source.limits.timeout_seconds)
                return generator.generate_each(prompts, seeds, deadline)
        except Exception:  # noqa: S110
            pass  # whoever it was will say so alone
        return [None] * len(orders)

    def _alone(self, order: GenerationOrder) -> Failure | None:
        source = self._catalog.get(order.source)
        errors: list[Exception] = []
        result = resynthesize(
            self._pool.handle(source),
            Caption(order.prompt, _PROMPTED),
            [order.seed],
            Deadline.after(source.limits.timeout_seconds),
            errors.append,
        )
        if result.state is not SourceState.DONE:
            said = f"{result.reason} {errors[0]!r}" if errors else str(result.reason)
            return Failure(order, result.state, said)
        self._keep(order, result.generated_images[0])
        return None

    def _keep(self, order: GenerationOrder, generated_image: GeneratedImage) -> None:
        buffer = io.BytesIO()
        generated_image.image.save(buffer, "PNG")
        self.store.put(order.key, ".png", buffer.getvalue())

    def describe(self, tasks: Sequence[tuple[Path, str]]) -> None:
        """Captions images and keeps each sentence under the key beside it."""
        for image, key in tasks:
            self.store.put(key, ".txt", describe(self.captioner, load(image).image).text.encode())


class GenerationPool:
    """Hands out work to `processes` processes, or does it here if there is one."""

    def __init__(self, equipment: ModelSet, processes: int) -> None:
        if processes > 1 and equipment.placement.threads is None:
            threads = max(1, (os.cpu_count() or 1) // processes)
            equipment = replace(equipment, placement=replace(equipment.placement, threads=threads))
        self.hand = GenerationProcess(equipment)
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

    def generate(self, what: str, orders: Sequence[GenerationOrder]) -> tuple[int, list[Failure]]:
        """Generates what is not there yet, source by source; the number of new images, and those that failed."""
        wanted = {order.key: order for order in orders}
        by_source: dict[str, list[GenerationOrder]] = {}
        for order in wanted.values():
            if not self.store.has(order.key, ".png"):
                by_source.setdefault(order.source, []).append(order)
        size = self.hand.equipment.placement.batch_size
        batches = [batch for todo in by_source.values() for batch in _cut(todo, size)]
        failures = [
            each for found in self._each(what, _generate, self.hand.generate, batches, len(wanted)) for each in found
        ]
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


_hand: GenerationProcess | None = None


def _begin(equipment: ModelSet) -> None:
    """In a new process: models are loaded later, and nobody outlives the one who ordered the work."""
    global _hand
    _hand = GenerationProcess(equipment)
    die_with_parent()


def _generate(orders: Sequence[GenerationOrder]) -> list[Failure]:
    return _own().generate(orders)


def _describe(tasks: Sequence[tuple[Path, str]]) -> None:
    _own().describe(tasks)


def _own() -> GenerationProcess:
    assert _hand is not None
    return _hand
