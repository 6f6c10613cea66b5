"""Distances between feature vectors: one job at a time for the service, a whole dataset at once for the benchmark.

Both go through the same kernel. A kernel meets one generated image after another with the same instructions, so that equal
generated images have equal distances and a tie is a tie.
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

_BLOCK_BYTES = (
    1 << 21
)  # of generated images: small enough for a cache, large enough that threads seldom meet at the GIL
_WORTH_THREADS = 1 << 23  # below 8 MB, starting threads costs more than they save


@dataclass(frozen=True, slots=True)
class Pairwise:
    """A named distance. `kernel` takes (m, d) queries, (m, n, d) generated images and scratch of the generated images' shape."""

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

        Blocks that fit the cache, shared out among `threads`, by default as many as there are cores.
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
    """This thread's room for a block, kept: memory fresh from the kernel costs a page fault for every 4 kB."""
    kept: NDArray[np.uint8] | None = getattr(_own, "room", None)
    if kept is None or len(kept) < size * kind.itemsize:
        kept = np.empty(size * kind.itemsize, np.uint8)
        if len(kept) <= _BLOCK_BYTES:
            _own.room = kept
    room: Floats = kept[: size * kind.itemsize].view(kind)
    return room


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Kept: starting two threads takes a tenth of what they are started for."""
    return ThreadPoolExecutor(threads, thread_name_prefix="distance")


os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork
