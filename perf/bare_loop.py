"""The method in a loop, a process per core: what the service's own work is measured against.

No queue, no database, no HTTP: a process has loaded models and a list of files. It captions each image, generates in
batches of one source across images, encodes what was generated, embeds and ranks.
"""

import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from PIL.Image import Image

from attribution.bank.files import load_banks
from attribution.build import Placement, build_captioner, build_embedder, build_generator
from attribution.caption import describe
from attribution.catalog import load_catalog
from attribution.detail import common_side
from attribution.distance import distance_named
from attribution.embed.stage import embed_all, feature_space
from attribution.image import encode_png, load
from attribution.match import match
from attribution.ports import BatchGenerator, Deadline, DistanceName, GeneratedImage, Method
from attribution.rank import rank
from attribution.resynthesis import derive_seeds
from evaluation.processes import process_pool

BATCH = 8
LONG = 600.0
_Item = TypeVar("_Item")


class Loop:
    """One process's models: those of the default settings, with one thread."""

    def __init__(self, sources: Sequence[str], images_per_source: int) -> None:
        placement = Placement(batch_size=BATCH, threads=1)
        catalog = load_catalog([Path("sources")])
        self.sources = [catalog.get(source) for source in sources]
        self.images_per_source = images_per_source
        self.captioner = build_captioner("blip:zoo/models/captioner", placement)
        self.embedder = build_embedder("open_clip:local-dir:zoo/models/clip", placement)
        self.generators = {source.id: build_generator(source, placement) for source in self.sources}
        self.bank = load_banks([Path("zoo/models/bank.npz")])[feature_space(self.embedder.ref)]

    def attribute(self, files: Sequence[bytes]) -> tuple[float, float]:
        """Attributes the images; returns the seconds it took, and those of CPU time."""
        began, cpu = time.perf_counter(), time.process_time()
        for some in batches(files, max(1, BATCH // self.images_per_source)):
            queries = [load(io.BytesIO(file)).image for file in some]
            captions = [describe(self.captioner, query).text for query in queries]
            generated = self._generate(captions)
            for place, query in enumerate(queries):
                images = {source: each[place] for source, each in generated.items()}
                for each in images.values():
                    for image in each:
                        encode_png(image.image)
                self._rank(query, images)
        return time.perf_counter() - began, time.process_time() - cpu

    def generate(self, captions: Sequence[str]) -> float:
        """Only generates, for captions that are given; returns the seconds it took."""
        began = time.perf_counter()
        for some in batches(captions, max(1, BATCH // self.images_per_source)):
            self._generate(some)
        return time.perf_counter() - began

    def seconds_of(self, source: str, caption: str) -> float:
        """How long a source takes for one job's images."""
        began = time.perf_counter()
        self._images(source, [caption])
        return time.perf_counter() - began

    def _generate(self, captions: Sequence[str]) -> Mapping[str, Sequence[Sequence[GeneratedImage]]]:
        return {source.id: self._images(source.id, captions) for source in self.sources}

    def _images(self, source: str, captions: Sequence[str]) -> Sequence[Sequence[GeneratedImage]]:
        """One source's images of each caption, in batches."""
        generator, entry = self.generators[source], next(each for each in self.sources if each.id == source)
        assert isinstance(generator, BatchGenerator)
        seeds = [derive_seeds(caption, source, entry.revision, self.images_per_source, None) for caption in captions]
        prompts = [caption for caption in captions for _ in range(self.images_per_source)]
        found = generator.generate_each(prompts, [seed for each in seeds for seed in each], Deadline.after(LONG))
        images = [each for each in found if each is not None]
        return batches(images, self.images_per_source)

    def _rank(self, query: Image, generated: Mapping[str, Sequence[GeneratedImage]]) -> None:
        images = {source: [each.image for each in some] for source, some in generated.items()}
        side = common_side(query, [some[0] for some in images.values()])
        embedded = embed_all(self.embedder, query, images, Method.RESIDUAL, side)
        order = list(images)
        ranking = rank(embedded, distance_named(DistanceName.COSINE), order)
        revisions = {source.id: source.revision for source in self.sources}
        match(ranking, embedded, order, revisions, {source.id: source.family for source in self.sources}, self.bank)


def batches(items: Sequence[_Item], size: int) -> list[Sequence[_Item]]:
    """The items, so many at a time."""
    return [items[start : start + size] for start in range(0, len(items), size)]


_loop: Loop | None = None


def _begin(sources: Sequence[str], images_per_source: int) -> None:
    global _loop
    _loop = Loop(sources, images_per_source)


def _attribute(files: Sequence[bytes]) -> tuple[float, float]:
    assert _loop is not None
    return _loop.attribute(files)


def _generate(captions: Sequence[str]) -> float:
    assert _loop is not None
    return _loop.generate(captions)


def _seconds_of(source: str, caption: str) -> float:
    assert _loop is not None
    return _loop.seconds_of(source, caption)


class BareLoops:
    """A process per core. The work is divided evenly, and takes as long as the slowest of them."""

    def __init__(self, sources: Sequence[str], images_per_source: int, processes: int) -> None:
        self._sources = sources
        self._processes = processes
        self._pool = process_pool(processes, _begin, sources, images_per_source)

    def close(self) -> None:
        """Ends the processes."""
        self._pool.shutdown()

    def attribute(self, files: Sequence[bytes]) -> tuple[float, float]:
        """Attributes the images; returns the seconds of the slowest process, and the CPU time of all."""
        took = list(self._pool.map(_attribute, self._shares(files)))
        return max(seconds for seconds, _ in took), sum(cpu for _, cpu in took)

    def generate(self, captions: Sequence[str]) -> float:
        """Only generates; returns the seconds of the slowest process."""
        return max(self._pool.map(_generate, self._shares(captions)))

    def slowest_source(self, caption: str) -> float:
        """How long the slowest source takes for one job's images, alone on this host."""
        return max(
            min(self._pool.submit(_seconds_of, each, caption).result() for _ in range(3)) for each in self._sources
        )

    def _shares(self, items: Sequence[_Item]) -> list[Sequence[_Item]]:
        return [items[number :: self._processes] for number in range(self._processes)]
