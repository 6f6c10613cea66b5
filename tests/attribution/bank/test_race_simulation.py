"""Simulated races: as a loop over single queries runs them, and from past jobs that raced themselves."""

from dataclasses import replace

import numpy as np
import pytest

from attribution.bank import Bank
from attribution.bank.model import BankModel, fit
from attribution.bank.race_simulation import RaceAsking
from attribution.bank.simulation import FixedAsking, simulate, simulate_strangers
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
    """In some nobody is dropped, in others somebody is; with nearly equal probabilities, nobody in any."""
    stack = past_stack(20)
    everybody, _ = simulate(stack, LENGTH, RaceAsking(3, 1e-9))
    some, _ = simulate(stack, LENGTH, RaceAsking(3, 0.3))
    same = np.isclose(everybody.scores, some.scores).all(axis=1)
    assert 0.05 < same.mean() < 0.95
    assert some.right.mean() > everybody.right.mean() - 0.1


def test_jobs_that_raced_teach_and_are_asked_about() -> None:
    """A source with one image has no sibling to be asked against, and is what others are asked against."""
    whole = synthetic_past(8, NAMES, 4)
    raced = synthetic_past(9, NAMES, {"a": 4, "b": 2, "c": 1, "d": 1})[8]
    stack = JobStack.of([*whole, raced], SOURCES)
    own, strangers = simulate(stack, LENGTH, RaceAsking(4, 0.1))
    assert len(own.truth) == 8 * 16 + 4 + 2
    assert len(strangers.truth) == 0
    found = simulate_strangers(stack, LENGTH, [["d@1"]], RaceAsking(4, 0.1))
    assert [(len(each.own.truth), len(each.strangers.truth)) for each in found] == [(8 * 12 + 6, 8 * 4 + 1)]
    fixed, _ = simulate(stack, LENGTH, FixedAsking(1))
    assert len(fixed.truth) == 8 * 16
    lonely = replace(raced, images={key: rows[:1] for key, rows in raced.images.items()})
    nobody, _ = simulate(JobStack.of([*whole, lonely], SOURCES), LENGTH, RaceAsking(4, 0.1))
    assert len(nobody.truth) == 8 * 16


def test_a_bank_of_races_is_calibrated() -> None:
    """Of jobs of which most sources have one image; for a fixed budget there is nothing to calibrate with."""
    past = [synthetic_past(1, NAMES, dict(zip(NAMES, counts, strict=True)), 3.0, 3000 + at)[0] for at, counts in
            enumerate([(2, 2, 1, 1), (1, 4, 4, 1), (1, 1, 2, 2), (4, 1, 1, 4)] * 15)]  # fmt: skip
    bank = Bank("s", tuple(past))
    families = {source: source for source in SOURCES}
    known = bank.experience(SOURCES, families, 4, racing=True)
    assert known is not None
    assert known.calibration is not None
    assert known.calibration.source_rule.measured.queries == 15 * (4 + 8 + 4 + 8)
    fixed = bank.experience(SOURCES, families, 4)
    assert fixed is not None
    assert fixed.calibration is None
