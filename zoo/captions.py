"""Every caption the zoo knows and the split it belongs to: pure Python, so that tests can use it without torch.

A caption names seven attributes of a face and never its style. Splits are made by caption, not by image: no model sees
a caption of `calibration` or `test` in training.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

SKINS = ("pale", "tan", "brown", "dark")
HAIRS = ("black", "blond", "red", "brown", "blue", "white", "pink")
LENGTHS = ("short", "long")
SHIRTS = ("red", "blue", "green", "yellow", "purple", "white")
BACKGROUNDS = ("blue", "pink", "lavender", "green", "yellow", "gray")


class Split(StrEnum):
    """What a caption may be used for."""

    TRAIN = "train"
    CALIBRATION = "calibration"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Face:
    """The attributes of a caption."""

    skin: str
    length: str
    hair: str
    beard: bool
    glasses: bool
    shirt: str
    background: str

    @property
    def caption(self) -> str:
        """The sentence."""
        beard = " and a beard" if self.beard else ""
        glasses = " wearing glasses" if self.glasses else ""
        return (
            f"a {self.skin} skinned person with {self.length} {self.hair} hair{beard}{glasses}"
            f" in a {self.shirt} shirt on a {self.background} background"
        )

    @property
    def split(self) -> Split:
        """What the caption may be used for."""
        return split_of(self.caption)


def split_of(caption: str) -> Split:
    """Eight captions in ten are for training, one for calibration, one for testing, by the caption's hash."""
    bucket = int.from_bytes(hashlib.sha256(caption.encode()).digest()[:8], "big") % 10
    if bucket == 8:
        return Split.CALIBRATION
    return Split.TEST if bucket == 9 else Split.TRAIN


def faces(split: Split | None = None) -> Iterator[Face]:
    """All 8,064 faces in a fixed order, or those of one split."""
    flags = (False, True)
    for values in itertools.product(SKINS, LENGTHS, HAIRS, flags, flags, SHIRTS, BACKGROUNDS):
        face = Face(*values)
        if split is None or face.split is split:
            yield face


def sample(split: Split, count: int, seed: int) -> list[Face]:
    """`count` different faces of a split, the same ones for the same seed. Raises ValueError if there are too few."""
    return random.Random(seed).sample(list(faces(split)), count)


_CAPTION = re.compile(
    r"a (\w+) skinned person with (\w+) (\w+) hair( and a beard)?( wearing glasses)?"
    r" in a (\w+) shirt on a (\w+) background"
)


def parse(caption: str) -> Face | None:
    """The face a caption describes, or None if it is not one of ours."""
    found = _CAPTION.fullmatch(caption)
    if found is None:
        return None
    skin, length, hair, beard, glasses, shirt, background = found.groups()
    return Face(skin, length, hair, beard is not None, glasses is not None, shirt, background)


def words() -> list[str]:
    """The vocabulary in sorted order: every word that any caption contains."""
    return sorted({word for face in faces() for word in face.caption.split()})
