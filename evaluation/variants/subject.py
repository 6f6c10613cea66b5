"""The data of a comparison: features and images of a dataset, or of real images of the same prompts.

Names of axes are those of `evaluation.features`. Queries that share their difficulty, by character or by prompt, have
a group in common: intervals resample groups, and nothing is trained on the group that it is tested on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attribution.distance import DISTANCES, HYBRIDS, PAIRWISE, PIXELWISE
from attribution.distance.hybrid import mean_z
from attribution.errors import ConfigurationError
from attribution.image import load
from attribution.ports import Aggregate, Embedder
from attribution.rank import over_generated_images
from evaluation.characters import Side
from evaluation.dataset import Dataset
from evaluation.evaluate import Rankings
from evaluation.features import Features, embed
from evaluation.metrics import Indices
from evaluation.processes import progress
from evaluation.real import RealImage, open_gallery
from evaluation.store import Store, key_of, write


@dataclass(frozen=True)
class Subject:
    """(S, P) images and the (S, P, S, K) generated images of each, with features of both and (P,) groups."""

    name: str
    over: str  # what a group is
    features: Features
    groups: Indices
    queries: Sequence[Sequence[RealImage]]
    generated_images: Sequence[Sequence[Sequence[Sequence[RealImage]]]]
    store: Store
    _pixels: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    @classmethod
    def of_dataset(cls, dataset: Dataset, embedder: Embedder, store: Store) -> "Subject":
        """Every original and its resyntheses."""
        features = embed(dataset, embedder, store).of()
        images = {
            (item.of, item.character, item.source, item.k): RealImage(dataset.directory / item.file, item.sha256)
            for item in dataset.items
        }
        names, numbers, ks = features.sources, features.characters, range(features.images_per_source)
        return cls(
            dataset.directory.name,
            "characters",
            features,
            np.arange(len(numbers)),
            [[images[of, number, None, None] for number in numbers] for of in names],
            [[[[images[of, number, by, k] for k in ks] for by in names] for number in numbers] for of in names],
            store,
        )

    @classmethod
    def of_gallery(cls, folder: Path, embedder: Embedder, store: Store, alike: bool = False) -> "Subject":
        """Real images of the same prompts: see `evaluation.real`."""
        gallery = open_gallery(folder, store, alike)
        count = len(gallery.pictures[0][0])
        generated_images = [
            [
                [[of_prompt[(i + 1 + k) % count] for k in range(count - 1)] for of_prompt in by_model]
                for by_model in zip(*gallery.pictures, strict=True)
                for i in range(count)
            ]
        ] * len(gallery.models)
        return cls(
            folder.name,
            "prompts",
            gallery.features(embedder, store),
            np.asarray(gallery.groups),
            gallery.queries,
            generated_images,
            store,
        )

    def columns(self, side: Side) -> Indices:
        """The places of a side's characters; none where there are no sides."""
        side_of = self.features.side
        return np.flatnonzero([side_of.get(number) is side for number in self.features.characters])

    def apart(self, distance: str, images_per_source: int) -> NDArray[np.float64]:
        """(S, P, S, γ) distances, as the service computes them, of the first γ generated images."""
        if distance not in DISTANCES:
            raise ConfigurationError(f"There is no distance {distance!r}; there are {', '.join(DISTANCES)}.")
        if images_per_source > self.features.images_per_source:
            raise ConfigurationError(
                f"{self.name} has {self.features.images_per_source} generated images of each, not {images_per_source}."
            )
        if distance in HYBRIDS:
            parts = [self.apart(part.name, images_per_source) for part in HYBRIDS[distance].parts]
            s, p, _, k = parts[0].shape
            return mean_z([part.reshape(s, p, s * k) for part in parts]).reshape(s, p, s, k)
        if distance in PIXELWISE:
            return self._on_pixels(distance)[..., :images_per_source]
        return self._on_features(distance)[..., :images_per_source]

    def rankings(self, distance: str, images_per_source: int, aggregate: Aggregate = Aggregate.MEAN) -> Rankings:
        """The rankings of all queries."""
        return Rankings(
            self.features.sources, over_generated_images(self.apart(distance, images_per_source), aggregate)
        )

    def _on_features(self, distance: str) -> NDArray[np.float64]:
        generated = self.features.resyntheses
        s, p, _, k, d = generated.shape
        rows = generated.reshape(s, p, s * k, d).astype(np.float64)
        apart = PAIRWISE[distance].between(self.features.originals.astype(np.float64), rows)
        return apart.reshape(s, p, s, k).astype(np.float64, copy=False)

    def _on_pixels(self, distance: str) -> NDArray[np.float64]:
        if distance not in self._pixels:
            shape = self.features.resyntheses.shape[:4]
            queries = [query for row in self.queries for query in row]
            after = [[each for of in by for each in of] for row in self.generated_images for by in row]
            self._pixels[distance] = _pixel_distances(distance, queries, after, self.store).reshape(shape)
        return self._pixels[distance]


def _pixel_distances(
    name: str, queries: Sequence[RealImage], generated_images: Sequence[Sequence[RealImage]], store: Store
) -> NDArray[np.float64]:
    """(Q, n) distances of n generated images to each of Q queries, by a distance on pixels."""
    rows = []
    with progress(f"{name} of pixels", len(queries)) as done:
        for query, after in zip(queries, generated_images, strict=True):
            path = store.path(key_of("pixels/1", name, query.sha256, [each.sha256 for each in after]), ".npy")
            if not path.exists():
                apart = PIXELWISE[name](load(query.path).image, [load(each.path).image for each in after])
                write(path, apart.astype("<f8").tobytes())
            rows.append(np.frombuffer(path.read_bytes(), "<f8"))
            done(1)
    return np.stack(rows)
