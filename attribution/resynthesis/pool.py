"""Keeps loaded generators within a memory limit, one pool per process.

Those that no job waits for are unloaded first, and of these the least recently used.

Memory is what the catalog states for a source: to measure it, the source would have to be loaded first.
"""

import gc
import sys
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence

from attribution.catalog import Source
from attribution.errors import SourceUnavailable
from attribution.ports import Deadline, GeneratedImage, Generator, ModelRef


class GeneratorPool:
    """Builds generators on first use. Not thread-safe: one process, one device."""

    def __init__(self, build: Callable[[Source], Generator], max_memory_mb: int) -> None:
        self._build = build
        self._max_memory_mb = max_memory_mb
        self._loaded: OrderedDict[str, tuple[Source, Generator]] = OrderedDict()

    @property
    def loaded(self) -> tuple[str, ...]:
        """Ids of the loaded sources, the next to be unloaded first."""
        return tuple(self._loaded)

    def peek(self, source: str) -> Generator | None:
        """The generator of that id, if it is loaded; does not count as a use."""
        kept = self._loaded.get(source)
        return None if kept is None else kept[1]

    def get(self, source: Source, needed: Collection[str] = ()) -> Generator:
        """The source's generator, loaded if necessary; `needed` ones make room last.

        Raises SourceUnavailable or ConfigurationError.
        """
        kept = self._loaded.get(source.id)
        if kept is not None and kept[0] == source:
            self._loaded.move_to_end(source.id)
            return kept[1]
        if source.memory_mb > self._max_memory_mb:
            raise SourceUnavailable(
                f"{source.name} needs {source.memory_mb} MB; this worker may use {self._max_memory_mb} MB."
            )
        self._make_room(source, needed)
        generator = self._build(source)
        self._loaded[source.id] = (source, generator)
        return generator

    def handle(self, source: Source) -> "PooledGenerator":
        """A generator that is loaded when it first generates."""
        return PooledGenerator(source, self)

    def clear(self) -> None:
        """Unload all generators."""
        self._loaded.clear()
        _free()

    def _make_room(self, source: Source, needed: Collection[str]) -> None:
        self._loaded.pop(source.id, None)  # the same id with another description
        room = self._max_memory_mb - source.memory_mb
        dropped = False
        while sum(kept.memory_mb for kept, _ in self._loaded.values()) > room:
            del self._loaded[min(self._loaded, key=lambda kept: kept in needed)]
            dropped = True
        if dropped:
            _free()


class PooledGenerator:
    """A source's generator, loaded on use, so that the memory limit also holds during a job."""

    def __init__(self, source: Source, pool: GeneratorPool) -> None:
        self.source = source.id
        self.ref = ModelRef(source.model, source.revision)  # of the catalog: the generator may not be loaded yet
        self._entry = source
        self._pool = pool

    def generate(self, prompt: str, seeds: Sequence[int], deadline: Deadline) -> Sequence[GeneratedImage]:
        """Loads the generator if necessary, and generates."""
        return self._pool.get(self._entry).generate(prompt, seeds, deadline)


def _free() -> None:
    gc.collect()  # pipelines contain reference cycles through their hooks
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
