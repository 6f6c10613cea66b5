"""A cell: one baseline trained once. Its answer is kept in the store, so that nothing is trained twice.

A run that was killed goes on with the cells that are missing. Small models leave most of a core idle: cells run in one
process per core, each with one thread.
"""

import io
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from evaluation.baselines.baseline import Baseline, Floats, Images
from evaluation.parent_death import die_with_parent
from evaluation.progress import progress
from evaluation.store import Store, key_of


@dataclass(frozen=True)
class Cell:
    """What is trained on what, and asked about what."""

    baseline: Baseline
    shots: Images
    queries: Images
    seed: int

    @cached_property
    def key(self) -> str:
        """Of all that the answer depends on, so that another dataset with the same images finds it, too."""
        baseline = self.baseline
        asked = [images.question(baseline.sees) for images in (self.shots, self.queries)]
        return key_of("baseline/1", baseline.name, dict(baseline.setting), self.seed, asked)


@dataclass(frozen=True)
class CellResult:
    """(S, P, S) scores of the queries, and the seconds that it took."""

    scores: Floats
    seconds: float

    @classmethod
    def of(cls, cell: Cell) -> "CellResult":
        """Trains."""
        started = time.monotonic()
        s, p = cell.queries.shape
        scores = cell.baseline.scores(cell.shots, cell.queries, cell.seed).reshape(s, p, s)
        return cls(scores, time.monotonic() - started)

    def to_bytes(self) -> bytes:
        """NumPy's own archive."""
        buffer = io.BytesIO()
        np.savez(buffer, scores=self.scores, seconds=self.seconds)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "CellResult":
        """The reverse."""
        found = np.load(io.BytesIO(content), allow_pickle=False)
        return cls(found["scores"], float(found["seconds"]))


class Laboratory:
    """Answers cells: from the store, or by training them, in `processes` processes. 1 is this one; 0 trains nothing."""

    def __init__(self, store: Store, processes: int = 1) -> None:
        self.store = store
        self._trains = processes > 0
        self._pool: ProcessPoolExecutor | None = None
        if processes > 1:
            spawn = multiprocessing.get_context("spawn")  # processes start when there is work, and stay
            self._pool = ProcessPoolExecutor(processes, spawn, _begin)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def answers(self, what: str, cells: Sequence[Cell]) -> list[CellResult | None]:
        """One for each, kept as soon as it is there; None for what was not trained."""
        todo = [cell for cell in cells if self._trains and not self.store.has(cell.key, ".npz")]
        with progress(what, len(cells), len(cells) - len(todo)) as done:
            for trained in self._trained(todo):
                done(trained)
        return [self._kept(cell) for cell in cells]

    def _kept(self, cell: Cell) -> CellResult | None:
        path = self.store.path(cell.key, ".npz")
        return CellResult.from_bytes(path.read_bytes()) if path.exists() else None

    def _trained(self, cells: Sequence[Cell]) -> Iterator[int]:
        if self._pool is None:
            return (_keep(self.store, cell) for cell in cells)
        return self._pool.map(_keep, [self.store] * len(cells), cells)


def _keep(store: Store, cell: Cell) -> int:
    store.put(cell.key, ".npz", CellResult.of(cell).to_bytes())
    return 1


def _begin() -> None:
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)
    die_with_parent()
