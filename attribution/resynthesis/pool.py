"""Keeps loaded generators within a memory bound, one pool per process. The least recently used goes first.

Memory is what the catalog says a source needs: measuring it would mean loading it, which is what the bound
forbids.
"""

import gc
import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence

from attribution.catalog import Source
from attribution.errors import SourceUnavailable
from attribution.ports import Deadline, GeneratedImage, Generator, ModelRef


class GeneratorPool:
    """Builds generators when they are first asked for. Not for threads: one process, one device."""

    def __init__(self, build: Callable[[Source], Generator], max_memory_mb: int) -> None:
        self._build = build
        self._max_memory_mb = max_memory_mb
        self._loaded: OrderedDict[str, tuple[Source, Generator]] = OrderedDict()

    @property
    def loaded(self) -> tuple[str, ...]:
        """Ids of the loaded sources, the next to go first."""
        return tuple(self._loaded)

    def get(self, source: Source) -> Generator:
        """The source's generator, loaded if need be. Raises SourceUnavailable or ConfigurationError."""
        kept = self._loaded.get(source.id)
        if kept is not None and kept[0] == source:
            self._loaded.move_to_end(source.id)
            return kept[1]
        if source.memory_mb > self._max_memory_mb:
            raise SourceUnavailable(
                f"{source.name} needs {source.memory_mb} MB; this worker may use {self._max_memory_mb} MB."
            )
        self._make_room(source)
        generator = self._build(source)
        self._loaded[source.id] = (source, generator)
        return generator

    def handle(self, source: Source) -> "PooledGenerator":
        """A generator that loads itself on its first generated image."""
        return PooledGenerator(source, self)

    def clear(self) -> None:
        """Let go of everything."""
        self._loaded.clear()
        _free()

    def _make_room(self, source: Source) -> None:
        self._loaded.pop(source.id, None)  # the same id under another description
        room = self._max_memory_mb - source.memory_mb
        dropped = False
        while sum(kept.memory_mb for kept, _ in self._loaded.values()) > room:
            self._loaded.popitem(last=False)
            dropped = True
        if dropped:
            _free()


class PooledGenerator:
    """Stands in for a source's generator until it is needed, so that the bound holds during a job too."""

    def __init__(self, source: Source, pool: GeneratorPool) -> None:
        self._source = source
        self._pool = pool

    @property
    def source(self) -> str:
        """The source's id in the catalog."""
        return self._source.id

    @property
    def ref(self) -> ModelRef:
        """What the catalog says, since nothing may be loaded yet."""
        return ModelRef(self._source.model, self._source.revision)

    def generate(self, prompt: str, seeds: Sequence[int], deadline: Deadline) -> Sequence[GeneratedImage]:
        """Loads if need be, and generates."""
        return self._pool.get(self._source).generate(prompt, seeds, deadline)


def _free() -> None:
    gc.collect()  # pipelines refer to themselves in circles through their hooks
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
