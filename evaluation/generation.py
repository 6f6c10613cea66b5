"""Generates and captions images in one or several processes, and keeps every result in the store.

Images of one source are generated in batches, each from its own prompt and noise: in a batch an image is the same as
alone, but for rounding (measured in docs/benchmark.md). Small models do not saturate a core, so one process per core
generates nearly twice as much as one process with all cores.
"""

import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Self, TypeVar

from attribution.build import Placement, build_captioner, build_generator
from attribution.caption import describe
from attribution.catalog import Source, load_catalog
from attribution.image import load
from attribution.ports import BatchGenerator, Caption, Captioner, Deadline, GeneratedImage, ModelRef, SourceState
from attribution.resynthesis import is_blank, resynthesize
from attribution.resynthesis.pool import GeneratorPool
from evaluation.processes import process_pool, progress
from evaluation.store import Store, key_of

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")
_PROMPTED = ModelRef("evaluation", "1")


@dataclass(frozen=True, slots=True)
class GenerationOrder:
    """One image to generate: source, prompt and seed."""

    source: str
    prompt: str
    seed: int
    key: str

    @classmethod
    def of(cls, source: Source, prompt: str, seed: int) -> "GenerationOrder":
        """The key depends on the source's parameters, too: more steps are another image."""
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


@dataclass(frozen=True)
class ModelSet:
    """The models of a generation process, as a value that can be pickled."""

    catalogs: tuple[Path, ...]
    store: Path
    captioner: str
    placement: Placement


class GenerationProcess:
    """The models of one process, loaded at first use."""

    def __init__(self, models: ModelSet) -> None:
        self.models = models
        self.store = Store(models.store)
        self._catalog = load_catalog(models.catalogs)
        placement = models.placement
        self._pool = GeneratorPool(partial(build_generator, placement=placement), placement.memory_mb)

    @cached_property
    def captioner(self) -> Captioner:
        """The captioner, loaded."""
        return build_captioner(self.models.captioner, self.models.placement)

    def generate(self, orders: Sequence[GenerationOrder]) -> list[Failure]:
        """Generates images of one source and stores them. What fails in a batch is tried again alone."""
        batch = self._generate_batch(orders) if len(orders) > 1 else [None] * len(orders)
        failures = []
        for order, generated_image in zip(orders, batch, strict=True):
            if generated_image is not None and not is_blank(generated_image.image):
                self._store(order, generated_image)
            elif (failure := self._generate_one(order)) is not None:
                failures.append(failure)
        return failures

    def _generate_batch(self, orders: Sequence[GenerationOrder]) -> Sequence[GeneratedImage | None]:
        source = self._catalog.get(orders[0].source)
        try:
            generator = self._pool.get(source)
            if isinstance(generator, BatchGenerator):
                prompts, seeds = [order.prompt for order in orders], [order.seed for order in orders]
                deadline = Deadline.after(len(orders) * source.limits.timeout_seconds)
                return generator.generate_each(prompts, seeds, deadline)
        except Exception:  # noqa: S110
            pass  # each order is tried again alone, and then reports its own error
        return [None] * len(orders)

    def _generate_one(self, order: GenerationOrder) -> Failure | None:
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
            reason = f"{result.reason} {errors[0]!r}" if errors else str(result.reason)
            return Failure(order, result.state, reason)
        self._store(order, result.generated_images[0])
        return None

    def _store(self, order: GenerationOrder, generated_image: GeneratedImage) -> None:
        buffer = io.BytesIO()
        generated_image.image.save(buffer, "PNG")
        self.store.put(order.key, ".png", buffer.getvalue())

    def describe(self, tasks: Sequence[tuple[Path, str]]) -> None:
        """Captions images and stores each caption under its key."""
        for image, key in tasks:
            self.store.put(key, ".txt", describe(self.captioner, load(image).image).text.encode())


class GenerationPool:
    """Distributes work over `processes` processes; with one, this process does it."""

    def __init__(self, models: ModelSet, processes: int) -> None:
        if processes > 1 and models.placement.threads is None:
            threads = max(1, (os.cpu_count() or 1) // processes)
            models = replace(models, placement=replace(models.placement, threads=threads))
        self.local = GenerationProcess(models)
        self.store = self.local.store
        self._pool: ProcessPoolExecutor | None = None
        if processes > 1:
            self._pool = process_pool(processes, _begin, models)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def generate(self, label: str, orders: Sequence[GenerationOrder]) -> tuple[int, list[Failure]]:
        """Generates the images that the store lacks, source by source; the number of new ones, and the failures."""
        distinct = {order.key: order for order in orders}
        by_source: dict[str, list[GenerationOrder]] = {}
        for order in distinct.values():
            if not self.store.has(order.key, ".png"):
                by_source.setdefault(order.source, []).append(order)
        size = self.local.models.placement.batch_size
        batches = [batch for todo in by_source.values() for batch in _batches(todo, size)]
        results = self._map(label, _generate, self.local.generate, batches, len(distinct))
        failures = [failure for result in results for failure in result]
        return sum(map(len, batches)) - len(failures), failures

    def describe(self, images: Sequence[Path], keys: Sequence[str]) -> int:
        """Captions the images whose captions the store lacks; returns their number."""
        distinct = dict(zip(keys, images, strict=True))
        todo = [(image, key) for key, image in distinct.items() if not self.store.has(key, ".txt")]
        self._map("captions", _describe, self.local.describe, _batches(todo, 1), len(distinct))
        return len(todo)

    def _map(
        self,
        label: str,
        in_pool: Callable[[Sequence[_Task]], _Result],
        here: Callable[[Sequence[_Task]], _Result],
        batches: Sequence[Sequence[_Task]],
        total: int,
    ) -> list[_Result]:
        results = []
        with progress(label, total, total - sum(map(len, batches))) as done:
            found = map(here, batches) if self._pool is None else self._pool.map(in_pool, batches)
            for batch, result in zip(batches, found, strict=True):
                results.append(result)
                done(len(batch))
        return results


def _batches(todo: Sequence[_Task], size: int) -> list[Sequence[_Task]]:
    return [todo[start : start + size] for start in range(0, len(todo), size)]


_process: GenerationProcess | None = None


def _begin(models: ModelSet) -> None:
    """In a new process; models are loaded at first use."""
    global _process
    _process = GenerationProcess(models)


def _generate(orders: Sequence[GenerationOrder]) -> list[Failure]:
    return _own_process().generate(orders)


def _describe(tasks: Sequence[tuple[Path, str]]) -> None:
    _own_process().describe(tasks)


def _own_process() -> GenerationProcess:
    assert _process is not None
    return _process
