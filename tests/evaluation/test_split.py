"""Sides along the character: the published split, and what every split promises."""

import numpy as np
import pytest

from evaluation.characters import SEED, Side, sides


def test_it_is_the_published_split() -> None:
    """What their script gets: the global generator seeded, a list shuffled, the test block after the training block."""
    indices = list(range(100))
    state = np.random.get_state()
    np.random.seed(SEED)
    np.random.shuffle(indices)
    np.random.set_state(state)
    found = sides(100)
    assert list(found[Side.TRAIN]) == indices[:80]
    assert list(found[Side.TEST]) == indices[80:90]
    assert list(found[Side.VALIDATION]) == indices[90:]


@pytest.mark.parametrize("count", [1, 7, 10, 33, 100])
def test_every_character_is_on_one_side(count: int) -> None:
    """None is lost, none is on two."""
    found = sides(count)
    assert sorted(at for places in found.values() for at in places) == list(range(count))
