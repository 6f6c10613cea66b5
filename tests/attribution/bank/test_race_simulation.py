"""Simulated races: as a loop over single queries runs them, and from past jobs that raced themselves."""

import numpy as np
import pytest

from attribution.bank import Bank
from attribution.bank.model import BankModel, fit
from attribution.bank.race_simulation import RaceAsking
from attribution.bank.simulation import simulate, simulate_strangers
from attribution.bank.stack import Floats, JobStack, softmax
from attribution.race import RaceEnd
from attribution.racing import next_round
from tests.attribution.bank.synthetic import LENGTH, synthetic_past

NAMES = ("a", "b", "c", "d")
SOURCES = tuple(f"{name}@1" for name in NAMES)
NOISE = 3.0  # so much that not all races are clear


def past_stack(jobs: int = 9, images: int = 4) -> JobStack:
    """Jobs with all of four sources."""
    return JobStack.of(synthetic_past(jobs, NAMES, images, NOISE), SOURCES)


def slow_race(model: BankModel, query: Floats, others: list[Floats], most: int, temperature: float) -> Floats:
    """One query against the other images of each source, by the rule of real jobs."""
    have, asked = dict.fromkeys(range(len(others)), 1), 1
    while True:
        means = np.stack([rows[: have[at]].mean(axis=0) for at, rows in enumerate(others)])
        content = means.mean(axis=0)
        counts = np.array(list(have.values()))
        scores = model.scores((query - content)[None], means - content, counts)[0]
        likely = dict(zip(map(str, have), softmax(temperature * scores), strict=True))
        after = next_round(likely, {str(at): count for at, count in have.items()}, asked, most)
        if isinstance(after, RaceEnd):
            return scores
        asked = after.images
        have |= {int(at): asked for at in after.sources}


@pytest.mark.parametrize("most", [1, 2, 3])
def test_scores_are_those_of_single_races(most: int) -> None:
    """Each image against the images behind it, by the model of the jobs of other folds."""
    stack, folds = past_stack(), np.arange(1, 10) % 4
    own, _ = simulate(stack, LENGTH, RaceAsking(most, 0.3))
    scores, truth = [], []
    for fold in range(4):
        model = fit(stack.of_jobs(folds != fold), LENGTH)
        assert model is not None
        for job in stack.images[folds == fold]:
            for s in range(4):
                for k in range(4):
                    others = [job[j, [(k + 1 + at) % 4 for at in range(3)]] for j in range(4)]
                    scores.append(slow_race(model, job[s, k], others, most, 0.3))
                    truth.append(s)
    assert np.allclose(own.scores, scores)
    assert own.truth.tolist() == truth
    assert own.right.mean() > 0.3  # of chance 0.25


def test_races_end_differently() -> None:
    """In some no source is dropped, in others one is; with nearly equal probabilities, none in any."""
    stack = past_stack(20)
    everybody, _ = simulate(stack, LENGTH, RaceAsking(3, 1e-9))
    some, _ = simulate(stack, LENGTH, RaceAsking(3, 0.3))
    same = np.isclose(everybody.scores, some.scores).all(axis=1)
    assert 0.05 < same.mean() < 0.95
    assert some.right.mean() > everybody.right.mean() - 0.1


def test_jobs_that_raced_teach_and_are_not_asked_about() -> None:
    """One image of a source is no sibling of itself; a changed job that raced changes the scores of the others."""
    whole = synthetic_past(8, NAMES, 4)
    raced = synthetic_past(9, NAMES, {"a": 4, "b": 2, "c": 1, "d": 1})[8]
    own, strangers = simulate(JobStack.of([*whole, raced], SOURCES), LENGTH, RaceAsking(4, 0.1))
    assert len(own.truth) == 8 * 16
    assert len(strangers.truth) == 0
    alone, _ = simulate(JobStack.of(whole, SOURCES), LENGTH, RaceAsking(4, 0.1))
    assert not np.isclose(own.scores, alone.scores).all(axis=1).any()
    found = simulate_strangers(JobStack.of([*whole, raced], SOURCES), LENGTH, [["d@1"]], RaceAsking(4, 0.1))
    assert [(len(each.own.truth), len(each.strangers.truth)) for each in found] == [(8 * 12, 8 * 4)]


@pytest.mark.parametrize(("whole", "supported"), [(40, True), (20, True), (19, False), (0, False)])
def test_a_bank_needs_some_whole_jobs(whole: int, supported: bool) -> None:
    """Of jobs that raced, it learns what sources look like, and has nothing to calibrate with."""
    counts = {"a": 4, "b": 1, "c": 1, "d": 2}
    bank = Bank("s", (*synthetic_past(whole, NAMES, 4), *synthetic_past(60, NAMES, counts, first=5000)))
    assert bank.supports_racing(SOURCES) is supported
    known = bank.experience(SOURCES, {source: source for source in SOURCES}, 4, racing=True)
    assert known is not None
    assert known.model.count == whole + 60
    assert (known.calibration is None) is (whole == 0)


def test_few_past_jobs_suffice_if_they_are_whole() -> None:
    """Half of a young bank's jobs."""
    assert Bank("s", synthetic_past(8, NAMES, 2)).supports_racing(SOURCES)
    assert not Bank("s", synthetic_past(4, NAMES, 2)).supports_racing(SOURCES)
    assert not Bank("s", synthetic_past(8, NAMES, 2)).supports_racing([*SOURCES, "e@1"])
