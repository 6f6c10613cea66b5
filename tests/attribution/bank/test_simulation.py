"""Simulated queries: images of past jobs, asked as if they were new ones, by a model that never saw their job."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from attribution.bank.model import fit
from attribution.bank.simulation import FixedAsking, simulate, simulate_strangers
from attribution.bank.stack import JobStack
from tests.attribution.bank.synthetic import LENGTH, synthetic_past

SOURCES = ("a@1", "b@1", "c@1", "d@1")


def past_stack(jobs: int = 9, images: int = 3) -> JobStack:
    """Jobs with all of four sources."""
    return JobStack.of(synthetic_past(jobs, ["a", "b", "c", "d"], images), SOURCES)


def test_scores_are_those_of_a_loop() -> None:
    """Each image against the mean of the others of every source, by the model of the jobs of other folds."""
    stack, folds = past_stack(), np.arange(1, 10) % 4
    own, strangers = simulate(stack, LENGTH, FixedAsking(2))
    scores: list[NDArray[np.float64]] = []
    truth = []
    for fold in range(4):
        model = fit(stack.of_jobs(folds != fold), LENGTH)
        assert model is not None
        for k in range(3):
            for job in stack.images[folds == fold]:
                others = np.stack([np.mean([job[s, i] for i in range(3) if i != k], axis=0) for s in range(4)])
                for s in range(4):
                    content = others.mean(axis=0)
                    scores.append(model.scores((job[s, k] - content)[None], others - content, 2)[0])
                    truth.append(s)
    assert np.allclose(own.scores, scores)
    assert own.truth.tolist() == truth
    assert len(strangers.truth) == 0
    assert own.right.mean() > 0.8


def test_a_query_is_not_among_its_own_siblings() -> None:
    """A source with as few images as there are siblings would need the query itself: its job is not asked about."""
    whole, short = synthetic_past(8, ["a", "b", "c", "d"], 4), synthetic_past(9, ["a", "b", "c", "d"], 4)[8]
    images = {source: rows[:2] if source == "a@1" else rows for source, rows in short.images.items()}
    stack = JobStack.of([*whole, replace(short, images=images)], SOURCES)
    own, _ = simulate(stack, LENGTH, FixedAsking(3))
    assert len(own.truth) == 8 * 4 * 4
    fewer, _ = simulate(stack, LENGTH, FixedAsking(1))
    assert len(fewer.truth) == 8 * 4 * 4 + 2 + 3 * 4


def test_the_job_of_a_query_is_not_in_its_model() -> None:
    """One job changed beyond recognition changes the scores of all queries of other folds, and else only its own."""
    stack = past_stack()
    changed = stack.images.copy()
    changed[4] = np.random.default_rng(1).normal(size=changed[4].shape)
    plain, _ = simulate(stack, LENGTH, FixedAsking(2))
    other, _ = simulate(JobStack(SOURCES, changed, stack.counts), LENGTH, FixedAsking(2))
    same = np.array([np.allclose(*pair) for pair in zip(plain.scores, other.scores, strict=True)])
    # Job 4 is the fifth, of the fold 1, with the first and the ninth job; asked are 2, 3, 2, 2 jobs of each fold.
    of_fold = np.repeat([0, 1, 2, 3], np.array([2, 3, 2, 2]) * 12)
    assert same[of_fold == 1].sum() == 2 * 12
    assert not same[of_fold != 1].any()


def test_strangers_are_left_out_of_model_and_job() -> None:
    """Whatever a stranger's images are, the scores of the others' queries stay; its own queries have the truth −1."""
    stack = past_stack()
    changed = stack.images.copy()
    changed[:, 1] = np.random.default_rng(1).normal(size=changed[:, 1].shape)
    own, strangers = simulate(stack, LENGTH, FixedAsking(2), ["b@1"])
    same, otherwise = simulate(JobStack(SOURCES, changed, stack.counts), LENGTH, FixedAsking(2), ["b@1"])
    assert np.array_equal(own.scores, same.scores)
    assert own.scores.shape == (9 * 3 * 3, 3)
    assert strangers.scores.shape == (9 * 3, 3)
    assert set(strangers.truth) == {-1}
    assert set(own.truth) == {0, 1, 2}
    assert not np.allclose(strangers.scores, otherwise.scores)
    assert strangers.scores.max(axis=1).mean() < own.scores.max(axis=1).mean()


def test_only_jobs_with_all_sources_and_another_image_are_asked() -> None:
    """A job that lacks a source, or has one image of it, teaches but is not asked about."""
    past = [
        *synthetic_past(6, ["a", "b", "c", "d"], 2),
        *synthetic_past(3, ["a", "b", "c"], 2, first=2000),
        *synthetic_past(3, ["a", "b", "c", "d"], {"a": 3, "b": 1, "c": 2, "d": 2}, first=3000),
        *synthetic_past(2, ["a", "b", "c", "d"], {"a": 4, "b": 2, "c": 2, "d": 3}, first=4000),
    ]
    own, _ = simulate(JobStack.of(past, SOURCES), LENGTH, FixedAsking(1))
    assert np.bincount(own.truth).tolist() == [6 * 2 + 2 * 4, 6 * 2 + 2 * 2, 6 * 2 + 2 * 2, 6 * 2 + 2 * 3]
    assert np.isfinite(own.scores).all()


def test_every_group_is_left_out_in_turn() -> None:
    """Together with its relatives; a group that leaves one source is not."""
    found = simulate_strangers(past_stack(), LENGTH, [["a@1"], ["b@1", "c@1"], ["a@1", "b@1", "c@1"]], FixedAsking(2))
    assert [each.rest for each in found] == [("b@1", "c@1", "d@1"), ("a@1", "d@1")]
    assert [len(each.strangers.truth) for each in found] == [27, 54]
    assert [each.own.scores.shape[1] for each in found] == [3, 2]


def test_too_little_gives_none() -> None:
    """One job cannot be left out of a model: no queries, with as many scores as sources."""
    own, strangers = simulate(past_stack(1), LENGTH, FixedAsking(2))
    assert own.scores.shape == strangers.scores.shape == (0, 4)
