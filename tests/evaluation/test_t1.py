"""Task T1: baselines learn, resynthesis is the same for all of them, and no query is a training image."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attribution.errors import ConfigurationError
from attribution.fuse import fused_scores, z_scores
from evaluation import tables
from evaluation.baselines.baseline import Images, Sight
from evaluation.baselines.cells import CellRunner, CharacterSplit
from evaluation.baselines.classifiers import CLASSIFIERS, METHODS, Method
from evaluation.baselines.t1 import t1
from evaluation.characters import SEED, Side, sides
from evaluation.evaluate import rankings
from evaluation.features import Features
from evaluation.metrics import WEIGHTS, crossing, crossing_text, next_to_measure
from evaluation.store import Store

NAMES = ("a", "b", "c")
PEOPLE = 40
SHOTS = (1, 4, 32)


def features(style: float = 1.0) -> Features:
    """Three sources whose generated images differ by a style, which resynthesis sees too; everybody is another."""
    random = np.random.default_rng(3)
    styles, people = style * random.normal(size=(3, 12)), random.normal(size=(PEOPLE, 12))
    originals = styles[:, None] + people + 0.5 * random.normal(size=(3, PEOPLE, 12))
    generated = styles[:, None] + people[:, None, None] + 2 * random.normal(size=(3, PEOPLE, 3, 1, 12))
    numbers = tuple(range(1, PEOPLE + 1))
    side = {at + 1: which for which, places in sides(PEOPLE).items() for at in places}
    return Features("e@1", dict.fromkeys(NAMES, "1"), numbers, side, originals, generated)


@dataclass(frozen=True)
class Spy:
    """A baseline that notes what it was shown, and answers as a method does."""

    method: Method = METHODS["nearest mean"]
    grid: Sequence[int] | None = None
    calls: list[tuple[Images, Images]] = field(default_factory=list)
    name = "spy"
    sees = frozenset({Sight.FEATURES})
    comparable = True
    setting: dict[str, Any] = field(default_factory=dict)

    def steps(self, shots: int, sources: int) -> int | None:
        """None."""
        return None

    def scores(self, shots: Images, queries: Images, seed: int) -> np.ndarray:
        """The method's."""
        self.calls.append((shots, queries))
        return self.method(shots.features, queries.flat)


@pytest.fixture
def measure(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """T1 of these features, kept in one store."""

    def run(*baselines: Any, shots: Sequence[int] = SHOTS, repeats: int = 3, processes: int = 1) -> dict[str, Any]:
        found = features()
        return t1(found, Images.of(found), baselines, CellRunner(Store(tmp_path), processes), shots, repeats)

    return run


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_methods_learn_from_shots(method: Method, classes: int) -> None:
    """Directions with little noise are separated, from few shots and from one."""
    random = np.random.default_rng(0)
    rows = np.eye(classes, 6)[:, None] + random.normal(scale=0.1, size=(classes, 9, 6))
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    for n in (1, 4):
        scores = method(rows[:, :n], rows[:, 4:].reshape(-1, 6))
        assert scores.shape == (5 * classes, classes)
        assert scores.argmax(axis=1).tolist() == np.repeat(range(classes), 5).tolist()


def test_the_report(measure: Callable[..., dict[str, Any]]) -> None:
    """More shots are better; the flat line is resynthesis on the same characters; a crossing is where a curve stays."""
    run = measure(*CLASSIFIERS)
    right = rankings(features(), "cosine", 1).right
    flat = np.mean([right[:, list(sides(PEOPLE, SEED + repeat)[Side.TEST])].mean() for repeat in range(3)])
    assert run["resynthesis"]["accuracy"] == pytest.approx(flat)
    assert list(run["curves"]) == [*METHODS, "best"]
    for name, curve in run["curves"].items():
        first, *_, last = (point["accuracy"] for point in curve)
        assert last > first, name
        assert last > 0.7 > 2 * run["chance"], name
        at = run["crosses_at"][name]
        above = [point["accuracy"] >= flat for point in curve]
        assert all(above[run["shots"].index(at) :]) if at else not above[-1]
    assert tables.t1(run).count("|\n") >= 5


def test_nothing_is_learned_from_what_is_asked_nor_twice(measure: Callable[..., dict[str, Any]]) -> None:
    """Shots are training characters, those of fewer among those of more; a second run trains nothing."""
    spy = Spy()
    first = measure(spy, shots=(2, 5), repeats=2)
    assert sorted(shots.shape[1] for shots, _ in spy.calls) == [2, 2, 5, 5]
    for shots, queries in spy.calls:
        learned, tested = (set(sum(images.content, ())) for images in (shots, queries))
        assert not learned & tested
    by_size = sorted((shots for shots, _ in spy.calls), key=lambda shots: shots.shape[1])
    assert {shots.content[0][:2] for shots in by_size[:2]} == {shots.content[0][:2] for shots in by_size[2:]}
    assert measure(spy, shots=(2, 5), repeats=2) == first
    assert len(spy.calls) == 4
    measure(Spy(calls=spy.calls, setting={"rate": 2}), shots=(2, 5), repeats=2)
    assert len(spy.calls) == 8


def test_what_was_trained_before_a_failure_is_kept(measure: Callable[..., dict[str, Any]]) -> None:
    """Each answer is kept as soon as it is there: what is whole can be reported, and the next run trains the others."""
    spy = Spy()

    def fails(shots: np.ndarray, queries: np.ndarray) -> np.ndarray:
        if len(spy.calls) == 3:
            raise MemoryError
        return METHODS["nearest mean"](shots, queries)

    with pytest.raises(MemoryError):
        measure(Spy(fails, calls=spy.calls), shots=(2, 5), repeats=2)
    known = measure(spy, shots=(2, 5), repeats=2, processes=0)["curves"]["spy"]
    assert [point is not None for point in known] == [True, False]
    measure(spy, shots=(2, 5), repeats=2)
    assert len(spy.calls) == 3 + 2


def test_around_the_crossing_everything_is_measured(measure: Callable[..., dict[str, Any]]) -> None:
    """From a thin grid on, until the values below and above the line are neighbors on the whole one."""
    whole = (1, 2, 3, 5, 8, 10, 20, 32)

    def late(shots: np.ndarray, queries: np.ndarray) -> np.ndarray:
        return METHODS["nearest mean"](shots, queries) * (shots.shape[1] >= 8)

    run = measure(Spy(late, grid=(1, 32)), shots=whole)
    measured = {n for n, point in zip(whole, run["curves"]["spy"], strict=True) if point}
    assert run["crosses_at"]["spy"] == 8
    assert {1, 5, 8, 32} <= measured < set(whole)


@pytest.mark.parametrize(
    ("curve", "at", "missing"),
    [
        ({1: 0.1, 9: 0.9}, 9, [5]),
        ({1: 0.1, 5: 0.9, 9: 0.9}, 5, [3]),
        ({1: 0.1, 3: 0.1, 5: 0.5, 9: 0.9}, 5, []),
        ({1: 0.9, 5: 0.1, 9: 0.1}, None, []),
        ({1: 0.1, 5: 0.2}, None, [9]),
        ({5: 0.9, 9: 0.9}, 5, [3]),
        ({1: 0.5, 9: 0.9}, 1, []),
    ],
)
def test_what_is_measured_next(curve: dict[int, float], at: int | None, missing: list[int]) -> None:
    """The middle of the gap below the crossing, or the end of the grid."""
    assert crossing(curve, 0.5) == at
    assert next_to_measure((1, 3, 5, 9), curve, 0.5) == missing
    text = crossing_text({"crosses_at": {"x": at}, "settled": {"x": not missing}}, "x")
    assert text == (("not known" if missing else "never") if at is None else f"{at} or fewer" if missing else str(at))


def test_the_plugin_counts_on_test_characters_with_a_weight_of_validation(
    measure: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """Compared with a direct computation for one method at one shot."""
    run = measure(*CLASSIFIERS[2:3])
    row = next(row for row in run["plugin"] if row["shots"] == 1)
    found = features()
    images, own = Images.of(found), z_scores(-rankings(found, "cosine", 1).distances)
    gains = []
    for repeat, weight in enumerate(row["weights"]):
        split = CharacterSplit.of(PEOPLE, SEED + repeat)
        cell = split.cell(CLASSIFIERS[2], images, 1)
        (answer,) = CellRunner(Store(tmp_path)).results("", [cell])
        held = len(split.validation)

        def share(w: float, places: Sequence[int], scores: np.ndarray) -> float:
            fused = fused_scores(own[:, list(places)], z_scores(scores), w)
            return float((fused.argmax(-1) == np.arange(3)[:, None]).mean())

        best = max(share(w, split.validation, answer.scores[:, :held]) for w in WEIGHTS)
        assert share(weight, split.validation, answer.scores[:, :held]) == pytest.approx(best)
        test = answer.scores[:, held:]
        gains.append(share(weight, split.test, test) - share(1, split.test, test))
    assert row["gain"] == pytest.approx(np.mean(gains))
    low, high = row["gain_interval_95"]
    assert low <= row["gain"] <= high


@pytest.mark.parametrize(("shots", "repeats"), [((33,), 3), ((1,), 1)])
def test_what_cannot_be_measured_is_refused(
    measure: Callable[..., dict[str, Any]], shots: tuple[int, ...], repeats: int
) -> None:
    """More shots than training characters, or an interval of one repeat."""
    with pytest.raises(ConfigurationError):
        measure(*CLASSIFIERS, shots=shots, repeats=repeats)
