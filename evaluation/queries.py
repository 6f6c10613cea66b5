"""The queries of a measurement, a dataset's originals or images by real generators: files, features and groups."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attribution.ports import Embedder
from evaluation.characters import Side
from evaluation.dataset import Dataset
from evaluation.evaluate import rankings
from evaluation.features import Features, embed
from evaluation.metrics import RESAMPLES, nearest
from evaluation.real import RealImage, is_dataset, open_gallery
from evaluation.store import Store


@dataclass(frozen=True)
class Queries:
    """(S, P) images with their features, and (P,) the group of each column: a character, a prompt."""

    pictures: Sequence[Sequence[RealImage]]
    groups: Sequence[int]
    features: Features


@dataclass(frozen=True, slots=True)
class QuerySelection:
    """Which queries: of a dataset some sources and sides; of a folder images per model and prompt, perhaps alike."""

    sources: Sequence[str] | None = None
    sides: Sequence[Side] | None = None
    images: int | None = None
    alike: bool = False


def open_queries(directory: Path, embedder: Embedder, store: Store, selection: QuerySelection) -> Queries:
    """Of a dataset, or else of a folder of MODEL/PROMPT__NUMBER.png. Raises ConfigurationError where it is neither."""
    if is_dataset(directory, selection.alike):
        dataset = Dataset.open(directory)
        features = embed(dataset, embedder, store).of(selection.sources, selection.sides)
        return Queries(_originals(dataset, features), features.characters, features)
    gallery = open_gallery(directory, store, selection.alike)
    features = gallery.features(embedder, store)
    count = len(gallery.pictures[0][0])
    chosen_columns = [at for at in range(len(gallery.groups)) if at % count < (selection.images or count)]
    return Queries(
        [[row[at] for at in chosen_columns] for row in gallery.queries],
        [gallery.groups[at] for at in chosen_columns],
        replace(
            features,
            characters=tuple(features.characters[at] for at in chosen_columns),
            originals=features.originals[:, chosen_columns],
            resyntheses=features.resyntheses[:, chosen_columns],
        ),
    )


def answers(features: Features, distance: str, images_per_source: int) -> NDArray[np.intp]:
    """(S, P) the nearest source."""
    found = rankings(features, distance, images_per_source)
    nearby: NDArray[np.intp] = nearest(found.flat)[:, 0].reshape(found.distances.shape[:2])
    return nearby


def ratio_interval(
    part: NDArray[np.bool_], whole: NDArray[np.bool_], groups: NDArray[np.intp], seed: int = 0
) -> list[float]:
    """The middle 95 % of Σ part / Σ whole over (S, P) queries when groups of columns are resampled with replacement."""
    names, column = np.unique(groups, return_inverse=True)
    sums = np.zeros((2, len(names)))
    for at, values in enumerate((part, whole)):
        np.add.at(sums[at], column, values.sum(axis=0))
    chosen = np.random.default_rng(seed).integers(0, len(names), (RESAMPLES, len(names)))
    generated = sums[:, chosen].sum(axis=2)  # (2, RESAMPLES)
    low, high = np.quantile(generated[0] / np.maximum(generated[1], 1), [0.025, 0.975])
    return [float(low), float(high)]


def _originals(dataset: Dataset, features: Features) -> list[list[RealImage]]:
    originals = {
        (item.of, item.character): RealImage(dataset.directory / item.file, item.sha256)
        for item in dataset.items
        if item.source is None
    }
    return [[originals[source, number] for number in features.characters] for source in features.sources]
