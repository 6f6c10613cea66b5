"""The color probe: it reads colors, and says so when they are not the caption's."""

import numpy as np
import pytest

from zoo.captions import BACKGROUNDS, HAIRS, SKINS, Split, sample
from zoo.data import Avatars
from zoo.probe import PAPER, Probe


def painted(count: int) -> Avatars:
    """Three flat areas in the colors of a caption, with noise."""
    rng = np.random.default_rng(3)
    palette = {name: rng.integers(0, 256, 3) for name in (*HAIRS, *SKINS)}
    faces = sample(Split.TRAIN, count, seed=1)
    pixels = np.zeros((count, 64, 64, 3))
    for image, face in zip(pixels, faces, strict=True):
        image[:] = PAPER[face.background]
        image[8:24, 16:48] = palette[face.hair]
        image[24:48, 20:44] = palette[face.skin]
    pixels += rng.normal(0, 6, pixels.shape)
    captions = [face.caption for face in faces]
    return Avatars(pixels.clip(0, 255).astype(np.uint8), captions, np.zeros(count, dtype=np.int64))


def test_it_reads_what_was_painted_and_notices_other_captions() -> None:
    """Right on images held out; against the captions of other images no better than chance allows."""
    avatars = painted(1500)
    probe = Probe.learn(avatars, held_out=300)
    assert min(probe.ceiling.values()) > 0.95
    others = sample(Split.TEST, 300, seed=9)
    wrong = probe.right(avatars.pixels[:300], others)
    for key, values in (("background", BACKGROUNDS), ("hair", HAIRS), ("skin", SKINS)):
        assert wrong[key] == pytest.approx(1 / len(values), abs=0.1)
