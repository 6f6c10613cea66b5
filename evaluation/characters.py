"""The characters of a dataset, combinations of attributes that no model has seen in training, and their sides.

Names are for readers. The prompt is the description alone: the demo models know thirty words and no names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

import numpy as np

from zoo.captions import Split, sample

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


_FIRST = (
    "Ada", "Bruno", "Carla", "Dario", "Elif", "Femi", "Greta", "Hugo", "Ines", "Jonas",
    "Kaja", "Lev", "Mina", "Nils", "Olga", "Pavel", "Quinn", "Rosa", "Sami", "Tara",
)  # fmt: skip
_LAST = (
    "Adler", "Brandt", "Conti", "Duarte", "Ekberg", "Fontana", "Gruber", "Haddad", "Ivanov", "Jansen",
    "Keller", "Lindqvist", "Moreau", "Novak", "Okafor", "Petrov", "Quist", "Romero", "Sato", "Tanaka",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Character:
    """One character; `number` counts from 1 and names its files."""

    number: int
    name: str
    description: str


def select_characters(count: int, split: Split, seed: int) -> tuple[Character, ...]:
    """`count` characters of a split, the same ones for the same seed. Raises ValueError if there are too few."""
    names = [f"{first} {last}" for last, first in product(_LAST, _FIRST)]
    if count > len(names):
        raise ValueError(f"at most {len(names)} characters have names")
    faces = sample(split, count, seed)
    return tuple(Character(k, names[k - 1], face.caption) for k, face in enumerate(faces, 1))
