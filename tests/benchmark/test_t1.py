"""Task T1: baselines learn, resynthesis is the same for all of them, and nobody is asked about what it learned from."""

from typing import Any

import numpy as np
import pytest

from attribution.errors import ConfigurationError
from benchmark.baselines.classifiers import CLASSIFIERS
from benchmark.baselines.command import table
from benchmark.baselines.t1 import t1
from benchmark.evaluate import rankings
from benchmark.features import Features
from benchmark.split import SEED, Side, sides

NAMES = ("a", "b", "c")
PEOPLE = 40


def features(style: float = 1.0) -> Features:
    """Three sources whose drawings differ by a style, which resynthesis sees too; everybody is another."""
    random = np.random.default_rng(3)
    styles, people = style * random.normal(size=(3, 12)), random.normal(size=(PEOPLE, 12))
    originals = styles[:, None] + people + 0.5 * random.normal(size=(3, PEOPLE, 12))
    drawn = styles[:, None] + people[:, None, None] + 2 * random.normal(size=(3, PEOPLE, 3, 1, 12))
    numbers = tuple(range(1, PEOPLE + 1))
    side = {at + 1: which for which, places in sides(PEOPLE).items() for at in places}
    return Features("e@1", dict.fromkeys(NAMES, "1"), numbers, side, originals, drawn)


@pytest.fixture(scope="module")
def run() -> dict[str, Any]:
    """A small run of all forms."""
    return t1(features(), shots=(1, 4, 32), repeats=3)


def test_more_shots_are_better(run: dict[str, Any]) -> None:
    """What differs by source can be learned: with many shots each form beats chance by far, and its first point."""
    for name in (*CLASSIFIERS, "best"):
        first, _, last = (point["accuracy"] for point in run["curves"][name])
        assert last > first, name
        assert last > 0.7 > 2 * run["chance"], name


def test_nothing_is_learned_from_what_is_asked() -> None:
    """Shots are training characters, the same for all forms, those of fewer shots among those of more."""
    told: list[np.ndarray] = []

    def spy(shots: np.ndarray, queries: np.ndarray) -> np.ndarray:
        told.append(shots)
        overlap = (queries[:, None] == shots.reshape(-1, shots.shape[-1])[None]).all(axis=2)
        assert not overlap.any()
        return np.zeros(len(queries), np.intp)

    t1(features(), shots=(2, 5), repeats=2, forms={"spy": spy})
    assert [shots.shape[1] for shots in told[::2]] == [2, 5] * 2
    assert (told[2][:, :2] == told[0]).all()


def test_the_flat_line_is_resynthesis_on_the_same_characters(run: dict[str, Any]) -> None:
    """The mean over the test sides of the same splits."""
    right = rankings(features(), "cosine", 1).right
    tested = [right[:, list(sides(PEOPLE, SEED + repeat)[Side.TEST])].mean() for repeat in range(3)]
    assert run["resynthesis"]["accuracy"] == pytest.approx(np.mean(tested))
    low, high = run["resynthesis"]["interval_95"]
    assert 0 <= low <= np.mean(tested) <= high <= 1


def test_a_crossing_is_where_it_stays_above(run: dict[str, Any]) -> None:
    """The table says the fewest shots from which on a form is never below the line, or that there are none."""
    flat = run["resynthesis"]["accuracy"]
    for name, curve in run["curves"].items():
        at = run["crosses_at"][name]
        above = [point["accuracy"] >= flat for point in curve]
        assert all(above[run["shots"].index(at) :]) if at else not above[-1]
    assert table(run).count("|\n") >= 5


@pytest.mark.parametrize(("shots", "repeats"), [((33,), 3), ((1,), 1)])
def test_what_cannot_be_measured_is_refused(shots: tuple[int, ...], repeats: int) -> None:
    """More shots than training characters, or an interval of one repeat."""
    with pytest.raises(ConfigurationError):
        t1(features(), shots=shots, repeats=repeats)
