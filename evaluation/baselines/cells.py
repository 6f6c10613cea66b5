"""A cell is one training of one baseline. Its result is kept in the store, so that nothing is trained twice.

A run that was killed continues with the missing cells. Cells run in one process per core, each with one thread: small
models do not saturate a core.
"""

import io
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from evaluation.baselines.baseline import Baseline, Floats, Images
from evaluation.characters import Side, sides
from evaluation.processes import process_pool, progress
from evaluation.store import Store, key_of


@dataclass(frozen=True)
class Cell:
    """A baseline, its shots, and its queries."""

    baseline: Baseline
    shots: Images
    queries: Images
    seed: int

    @cached_property
    def key(self) -> str:
        """Of everything that the scores depend on: another dataset with the same images has the same key."""
        baseline = self.baseline
        inputs = [images.fingerprint(baseline.sees) for images in (self.shots, self.queries)]
        return key_of("baseline/1", baseline.name, dict(baseline.setting), self.seed, inputs)


@dataclass(frozen=True)
class CharacterSplit:
    """Positions of characters: training ones in the order in which they become shots, and those of the queries."""

    seed: int
    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]

    @classmethod
    def of(cls, count: int, seed: int) -> "CharacterSplit":
        """Splits `count` characters; baselines train with the same seed."""
        side = sides(count, seed)
        train = np.random.default_rng(seed).permutation(side[Side.TRAIN])
        return cls(seed, tuple(map(int, train)), side[Side.VALIDATION], side[Side.TEST])

    def cell(self, baseline: Baseline, images: Images, shots: int) -> Cell:
        """Its queries are the validation characters, then the test characters."""
        queries = images.columns((*self.validation, *self.test))
        return Cell(baseline, images.columns(self.train[:shots]), queries, self.seed)


@dataclass(frozen=True)
class CellResult:
    """(S, P, S) scores of the queries, and the seconds that it took."""

    scores: Floats
    seconds: float

    @classmethod
    def of(cls, cell: Cell) -> "CellResult":
        """The scores of a cell, trained here."""
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


class CellRunner:
    """Results of cells, from the store or trained in `processes` processes: 1 is this process, 0 trains nothing."""

    def __init__(self, store: Store, processes: int = 1) -> None:
        self.store = store
        self._trains = processes > 0
        self._pool: ProcessPoolExecutor | None = None
        if processes > 1:
            self._pool = process_pool(processes, _begin)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def results(self, label: str, cells: Sequence[Cell]) -> list[CellResult | None]:
        """One for each cell, stored as soon as it is trained; None for what was not trained."""
        todo = [cell for cell in cells if self._trains and not self.store.has(cell.key, ".npz")]
        with progress(label, len(cells), len(cells) - len(todo)) as done:
            for trained in self._trained(todo):
                done(trained)
        return [self._stored(cell) for cell in cells]

    def _stored(self, cell: Cell) -> CellResult | None:
        path = self.store.path(cell.key, ".npz")
        return CellResult.from_bytes(path.read_bytes()) if path.exists() else None

    def _trained(self, cells: Sequence[Cell]) -> Iterator[int]:
        if self._pool is None:
            return (_train_and_store(self.store, cell) for cell in cells)
        return self._pool.map(_train_and_store, [self.store] * len(cells), cells)


def _train_and_store(store: Store, cell: Cell) -> int:
    store.put(cell.key, ".npz", CellResult.of(cell).to_bytes())
    return 1


def _begin() -> None:
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)
