"""The characters of a dataset: combinations of attributes that no model has seen in training.

Names are for readers. The prompt is the description alone: the demo models know thirty words and no names.
"""

from dataclasses import dataclass
from itertools import product

from zoo.captions import Split, sample

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
