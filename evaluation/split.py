"""Sides of a dataset, along the character: an original and everything generated after it stand on the same one.

Sides are the published ones: their seed, their shares, the test block right after the training block.
"""

from collections.abc import Mapping
from enum import StrEnum

import numpy as np

SEED = 8375
_TRAIN, _TEST = 0.8, 0.1


class Side(StrEnum):
    """What a character may be used for."""

    TRAIN = "train"
    TEST = "test"
    VALIDATION = "validation"


def sides(count: int, seed: int = SEED) -> Mapping[Side, tuple[int, ...]]:
    """Positions, from 0, of the characters on each side; together they are all of `count`."""
    order = list(range(count))
    np.random.RandomState(seed).shuffle(order)  # the generator behind numpy.random.seed, without its global state
    train, test = int(count * _TRAIN), int(count * _TEST)
    return {
        Side.TRAIN: tuple(order[:train]),
        Side.TEST: tuple(order[train : train + test]),
        Side.VALIDATION: tuple(order[train + test :]),
    }
