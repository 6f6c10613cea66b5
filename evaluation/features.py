"""The features of a dataset as two arrays, computed once per image and embedder.

Names of axes: S sources, P characters, K = γ images per source, d dimensions. Axis 0 of both is the source of the
original, axis 2 of `resyntheses` the source of the resynthesis. Missing images are NaN.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attribution.build import Placement, build_embedder
from attribution.errors import ConfigurationError
from attribution.image import load
from attribution.ports import Embedder, Vectors
from evaluation import publication
from evaluation.characters import Side, sides
from evaluation.dataset import Dataset, Item
from evaluation.processes import progress
from evaluation.store import Store, key_of, write

_CHUNK = 128


@dataclass(frozen=True)
class Features:
    """(S, P, d) originals and (S, P, S, K, d) resyntheses, with the names along the axes."""

    embedder: str
    revisions: Mapping[str, str]
    characters: tuple[int, ...]
    side: Mapping[int, Side]
    originals: NDArray[np.floating]
    resyntheses: NDArray[np.floating]

    @property
    def sources(self) -> tuple[str, ...]:
        """In catalog order."""
        return tuple(self.revisions)

    @property
    def images_per_source(self) -> int:
        """γ."""
        return int(self.resyntheses.shape[3])

    def of(self, sources: Sequence[str] | None = None, sides: Sequence[Side] | None = None) -> "Features":
        """The part with these sources, on these sides, of characters that are complete among them.

        Raises ConfigurationError where nothing is left or a source is unknown.
        """
        wanted = [name for name in self.sources if sources is None or name in sources]
        unknown = set(sources or ()) - set(self.sources)
        if unknown:
            raise ConfigurationError(f"The dataset has no source {', '.join(sorted(unknown))}.")
        s = [self.sources.index(name) for name in wanted]
        originals, resyntheses = self.originals[s], self.resyntheses[s][:, :, s]
        whole = np.isfinite(originals).all(axis=(0, 2)) & np.isfinite(resyntheses).all(axis=(0, 2, 3, 4))
        p = [
            at
            for at, number in enumerate(self.characters)
            if whole[at] and (sides is None or self.side[number] in sides)
        ]
        if not p:
            raise ConfigurationError("No character has originals and resyntheses by all of these sources.")
        return replace(
            self,
            revisions={name: self.revisions[name] for name in wanted},
            characters=tuple(self.characters[at] for at in p),
            originals=originals[:, p],
            resyntheses=resyntheses[:, p],
        )


def published(originals: NDArray[np.floating], resyntheses: NDArray[np.floating], names: Sequence[str]) -> Features:
    """Features from the published arrays, (S, P, d) and (S, P, S, d)."""
    count = originals.shape[1]
    side = {at + 1: which for which, places in sides(count).items() for at in places}
    revisions = dict.fromkeys(names, "unknown")
    numbers = tuple(range(1, count + 1))
    return Features("published", revisions, numbers, side, originals, resyntheses[:, :, :, None])


def read_features(
    directory: Path,
    embedder: str,
    placement: Placement,
    store: Path,
    sources: Sequence[str] | None,
    sides: Sequence[str] | None,
) -> Features:
    """Features of a dataset, or of a folder of published feature files; the part with these sources and sides."""
    chosen = [Side(side) for side in sides] if sides else None
    if (directory / publication.RESYNTHESES).is_file():
        found = publication.read(directory)
        return published(found.originals["plain"], found.resyntheses, found.sources).of(sources, chosen)
    dataset = Dataset.open(directory)
    return embed(dataset, build_embedder(embedder, placement), Store(store)).of(sources, chosen)


def embed(dataset: Dataset, embedder: Embedder, store: Store) -> Features:
    """The dataset's features; chunks that were computed before come from the store."""
    vectors = _vectors(dataset, embedder, store)
    sources, numbers = dataset.sources, [character.number for character in dataset.characters]
    shape = (len(sources), len(numbers))
    originals = np.full((*shape, embedder.dimension), np.nan, np.float32)
    resyntheses = np.full((*shape, len(sources), dataset.images_per_source, embedder.dimension), np.nan, np.float32)
    row = {name: at for at, name in enumerate(sources)}
    column = {number: at for at, number in enumerate(numbers)}
    side: dict[int, Side] = {}
    for item in dataset.items:
        i, p = row[item.of], column[item.character]
        side[item.character] = item.side
        if item.source is None:
            originals[i, p] = vectors[item.sha256]
        else:
            resyntheses[i, p, row[item.source], item.k] = vectors[item.sha256]
    return Features(str(embedder.ref), dataset.revisions, tuple(numbers), side, originals, resyntheses)


def _vectors(dataset: Dataset, embedder: Embedder, store: Store) -> dict[str, Vectors]:
    """Features by the hash of the image."""
    found: dict[str, Vectors] = {}
    chunks = list(_chunks(dataset.items))
    with progress(f"features by {embedder.ref.name}", len(chunks)) as done:
        for chunk in chunks:
            path = store.path(key_of("features", str(embedder.ref), [item.sha256 for item in chunk]), ".npy")
            if not path.exists():
                rows = embedder.embed([load(dataset.directory / item.file).image for item in chunk])
                write(path, rows.astype("<f4").tobytes())
            rows = np.frombuffer(path.read_bytes(), "<f4").reshape(len(chunk), -1)
            found.update({item.sha256: row for item, row in zip(chunk, rows, strict=True)})
            done(1)
    return found


def _chunks(items: Sequence[Item]) -> Iterator[tuple[Item, ...]]:
    """Each image once, in chunks of one source, so that a further source does not change the chunks of others."""
    by_source: dict[str, dict[str, Item]] = {}
    for item in items:
        source = f"{item.of}|{item.source}"
        by_source.setdefault(source, {}).setdefault(item.sha256, item)
    for distinct in by_source.values():
        images = tuple(distinct.values())
        yield from (images[at : at + _CHUNK] for at in range(0, len(images), _CHUNK))
