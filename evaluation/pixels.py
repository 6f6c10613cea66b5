"""Distances between images of a dataset, computed once per query and its generated images."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from attribution.distance import PIXELWISE
from attribution.image import load
from evaluation.progress import progress
from evaluation.real import RealImage
from evaluation.store import Store, key_of, write


def compare(
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
