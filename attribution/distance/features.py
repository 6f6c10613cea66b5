"""Distances between feature vectors: the four that arXiv 2510.24278 offers, by its names and SciPy's definitions.

The service compares one job at a time, the evaluation a whole dataset at once; both use the same kernels. A kernel
applies the same instructions to every generated image, so equal images have equal distances and a tie is exact.
"""

import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from attribution.ports import DistanceName, Distances, Embedded, Vectors

Floats: TypeAlias = NDArray[np.floating[Any]]
Kernel: TypeAlias = Callable[[Floats, Floats, Floats], Floats]

# Bytes of features per block: small enough for a cache, large enough that threads seldom wait for the GIL.
_BLOCK_BYTES = 1 << 21
_WORTH_THREADS = 1 << 23  # below 8 MB, starting threads costs more than they save


@dataclass(frozen=True, slots=True)
class Pairwise:
    """A named distance.

    `kernel` takes (m, d) queries, (m, n, d) generated images and scratch memory of shape (m, n, d); it returns (m, n).
    """

    name: DistanceName
    kernel: Kernel
    on_pixels: tuple[()] = ()

    def among(self, embedded: Embedded) -> Mapping[str, Distances]:
        """Per source, the (γ,) distances of its generated images' features."""
        return {
            source: self(embedded.query, generated_images)
            for source, generated_images in embedded.generated_images.items()
        }

    def __call__(self, query: Vectors, generated_images: Vectors) -> Distances:
        """(γ,) distances of (γ, d) generated images to the (d,) query.

        In float64: two near-equal float32 features would otherwise differ by less than the rounding of 1 − x.
        """
        return self.between(query.astype(np.float64), generated_images.astype(np.float64)).astype(
            np.float64, copy=False
        )

    def between(self, queries: Floats, generated_images: Floats, threads: int | None = None) -> Floats:
        """(…, n) distances of (…, n, d) generated images to their (…, d) queries, in the precision they share.

        Blocks that fit the cache are divided among `threads`, by default one per core.
        """
        kind = np.result_type(queries, generated_images)
        d = queries.shape[-1]
        rows = np.ascontiguousarray(queries, kind).reshape(-1, d)  # (m, d)
        cube = np.ascontiguousarray(generated_images, kind).reshape(len(rows), -1, d)  # (m, n, d)
        distances = np.empty(cube.shape[:2], kind)
        step = max(1, _BLOCK_BYTES // max(1, cube[:1].nbytes))

        def fill(start: int, stop: int) -> None:
            scratch = _scratch(min(step, stop - start) * cube[:1].size, kind).reshape(-1, *cube.shape[1:])
            with np.errstate(invalid="ignore", divide="ignore"):  # per thread
                for at in range(start, stop, step):
                    block = slice(at, min(at + step, stop))
                    distances[block] = self.kernel(rows[block], cube[block], scratch[: block.stop - at])

        workers = 1 if cube.nbytes < _WORTH_THREADS else min(threads or os.cpu_count() or 1, len(rows))
        if workers == 1:
            fill(0, len(rows))
        else:
            edges = [len(rows) * share // workers for share in range(workers + 1)]
            list(_pool(workers).map(fill, edges, edges[1:]))
        return distances.reshape(generated_images.shape[:-1])


_own = threading.local()


def _scratch(size: int, kind: np.dtype[Any]) -> Floats:
    """This thread's memory for one block, reused: fresh memory costs a page fault for every 4 kB."""
    kept: NDArray[np.uint8] | None = getattr(_own, "room", None)
    if kept is None or len(kept) < size * kind.itemsize:
        kept = np.empty(size * kind.itemsize, np.uint8)
        if len(kept) <= _BLOCK_BYTES:
            _own.room = kept
    room: Floats = kept[: size * kind.itemsize].view(kind)
    return room


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Kept between calls: starting two threads takes a tenth of the time of the work they do."""
    return ThreadPoolExecutor(threads, thread_name_prefix="distance")


os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork


def cosine(queries: Floats, generated_images: Floats, scratch: Floats) -> Floats:
    """1 − cos, from 0 to 2: the distance of both papers (arXiv 2510.24278; CosCLIP in arXiv 2403.01489)."""
    return _one_minus_cosine(queries, generated_images)


def euclidean(queries: Floats, generated_images: Floats, scratch: Floats) -> Floats:
    """The L2 norm of the difference. Between unit vectors it orders as cosine does: it is √(2 · cosine)."""
    differences = np.subtract(generated_images, queries[:, None], out=scratch)
    squares: Floats = np.vecdot(differences, differences)
    return np.sqrt(squares, out=squares)


def manhattan(queries: Floats, generated_images: Floats, scratch: Floats) -> Floats:
    """The L1 norm of the difference."""
    differences = np.subtract(generated_images, queries[:, None], out=scratch)
    np.abs(differences, out=differences)
    sums: Floats = np.vecdot(differences, np.ones(queries.shape[-1], queries.dtype))  # BLAS sums faster than sum()
    return sums


def correlation(queries: Floats, generated_images: Floats, scratch: Floats) -> Floats:
    """1 − Pearson's correlation: the cosine distance after each vector's own mean is subtracted."""
    d = queries.shape[-1]
    means = np.vecdot(generated_images, np.ones(d, queries.dtype))[..., None]  # a third of the time of mean(axis=-1)
    means /= d
    centered = np.subtract(generated_images, means, out=scratch)
    return _one_minus_cosine(queries - queries.mean(axis=-1, keepdims=True), centered)


def _one_minus_cosine(queries: Floats, generated_images: Floats) -> Floats:
    lengths = np.vecdot(generated_images, generated_images)
    lengths *= np.vecdot(queries, queries)[:, None]
    distances: Floats = np.vecdot(generated_images, queries[:, None])
    distances /= np.sqrt(lengths, out=lengths)  # a zero vector becomes NaN, which the ranking reports by its source
    np.subtract(1, distances, out=distances)
    return np.clip(distances, 0, 2, out=distances)  # rounding can make the distance of equal vectors −1e-16


PAIRWISE: Mapping[str, Pairwise] = {
    each.name: each
    for each in (
        Pairwise(DistanceName.COSINE, cosine),
        Pairwise(DistanceName.EUCLIDEAN, euclidean),
        Pairwise(DistanceName.MANHATTAN, manhattan),
        Pairwise(DistanceName.CORRELATION, correlation),
    )
}
