"""The repeats of task T1: each splits the characters anew, with the published shares."""

from dataclasses import dataclass

import numpy as np

from evaluation.baselines.baseline import Baseline, Images
from evaluation.baselines.cells import Cell
from evaluation.split import Side, sides


@dataclass(frozen=True)
class CharacterSplit:
    """Places of characters: in the order in which they become shots, and of the queries."""

    seed: int
    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]

    @classmethod
    def of(cls, count: int, seed: int) -> "CharacterSplit":
        """Of so many characters; the seed also is what a baseline learns with."""
        side = sides(count, seed)
        train = np.random.default_rng(seed).permutation(side[Side.TRAIN])
        return cls(seed, tuple(map(int, train)), side[Side.VALIDATION], side[Side.TEST])

    def cell(self, baseline: Baseline, images: Images, shots: int) -> Cell:
        """Asked about the validation characters, then about the test characters."""
        queries = images.columns((*self.validation, *self.test))
        return Cell(baseline, images.columns(self.train[:shots]), queries, self.seed)
