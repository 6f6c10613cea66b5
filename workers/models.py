"""The catalog, and the models that this process has loaded: captioners, embedders, generators within a memory limit."""

import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from threading import Lock

from app.settings import ModelSettings
from attribution.build import Placement, build_captioner, build_embedder, build_generator
from attribution.caption.spec import CaptionerSpec
from attribution.catalog import Catalog, Source
from attribution.errors import AttributionError, ConfigurationError
from attribution.ports import BatchGenerator, Captioner, Embedder, Generator
from attribution.resynthesis.pool import GeneratorPool
from attribution.resynthesis.remote.web import Connections
from attribution.verdict import Calibration
from workers.source_choice import SourceCosts


class Models:
    """Builds what the settings name, at first use, once per process. For all threads."""

    def __init__(self, settings: ModelSettings, catalog: Catalog, connections: Connections) -> None:
        self.settings = settings
        self.catalog = catalog
        self._connections = connections
        self._lock = Lock()
        self._captioners: dict[str, Captioner] = {}
        self._embedders: dict[str, Embedder] = {}
        self._placement = Placement(
            device=settings.device,
            dtype=settings.dtype,
            offload=settings.offload,
            batch_size=settings.batch_size,
            measure_batches=True,
            memory_mb=settings.memory_mb,
            threads=settings.threads_per_process,
        )
        self.costs = SourceCosts()
        self._generators = GeneratorPool(
            lambda source: build_generator(source, self._placement, connections), settings.memory_mb
        )

    def captioning(self, name: str | None = None) -> tuple[str, CaptionerSpec]:
        """The name and spec of the captioner of that name, or of the default. Raises ConfigurationError."""
        offered = self.settings.offered
        name = next(iter(offered)) if name is None else name
        if name not in offered:
            raise ConfigurationError(f"This worker has no captioner called {name}; it has {', '.join(offered)}.")
        return name, offered[name]

    def captioner(self, name: str | None = None) -> Captioner:
        """The captioner of that name, or the default. Loads at first use. Raises ConfigurationError."""
        name, spec = self.captioning(name)
        with self._lock:
            if name not in self._captioners:
                loaded = self._captioners.values()
                self._captioners[name] = build_captioner(spec.text, self._placement, self._connections, loaded)
            return self._captioners[name]

    def embedder(self, name: str | None = None) -> Embedder:
        """The embedder of that name, or the default. Loads at first use.

        Raises ConfigurationError where it cannot be built, or where this worker's settings do not have it.
        """
        offered = self.settings.offered_embedders
        name = next(iter(offered)) if name is None else name
        if name not in offered:
            raise ConfigurationError(f"This worker has no embedder called {name}; it has {', '.join(offered)}.")
        with self._lock:
            if name not in self._embedders:
                self._embedders[name] = build_embedder(offered[name].text, self._placement)
            return self._embedders[name]

    @cached_property
    def calibration(self) -> Calibration:
        """The measured thresholds that ship with the models or were made for this installation."""
        return Calibration.load(self.settings.calibrations)

    def load(self, source: str, needed: Collection[str]) -> None:
        """Loads a source's generator if that is possible; those of `needed` sources are unloaded last."""
        with suppress(AttributionError):  # the rows that wait for it will end with this error
            self.generator(self.catalog.get(source), needed)

    def generator(self, source: Source, needed: Collection[str] = ()) -> Generator:
        """The loaded generator of a source; others make room. One thread loads at a time."""
        with self._lock:
            before, began = self._generators.loaded, time.monotonic()
            generator = self._generators.get(source, needed)
            if source.id not in before:
                self.costs.add_load(source.id, time.monotonic() - began)
            return generator

    @property
    def loaded(self) -> Collection[str]:
        """Ids of the loaded generators."""
        return self._generators.loaded

    def batch_size(self, source: str) -> int:
        """How many images a source generates best at once; one job's if it is not loaded."""
        generator = self._generators.peek(source)
        return generator.batch_size if isinstance(generator, BatchGenerator) else 1

    def local_sources(self) -> Sequence[Source]:
        """The enabled sources that run on this host and can be used today."""
        today = datetime.now(UTC).date()
        return [source for source in self.catalog.available(today) if source.is_local]
