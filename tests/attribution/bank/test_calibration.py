"""Calibration: what is stated about simulated queries holds for others like them, and nothing more is stated."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from attribution.bank.calibration import (
    PRECISION,
    STRANGERS_NAMED,
    calibrate,
    margin_and_fit,
    naming_rule,
    wilson,
)
from attribution.bank.simulation import Simulated, Strangers
from attribution.bank.stack import softmax

SOURCES = ("a@1", "b@1", "c@1", "d@1")
ALONE = dict(zip(SOURCES, range(4), strict=True))
FAMILY = {"a@1": 0, "b@1": 0, "c@1": 2, "d@1": 3}


def sampled_queries(count: int, temperature: float, seed: int = 0, spread: float = 6.0, sources: int = 4) -> Simulated:
    """Queries whose source is sampled with the probabilities softmax(temperature · scores)."""
    random = np.random.default_rng(seed)
    scores = spread * random.normal(size=(count, sources))
    sums = softmax(temperature * scores).cumsum(axis=1)
    return Simulated(scores, (random.random((count, 1)) > sums).sum(axis=1))


def clear(count: int, seed: int, lead: float, level: float = 0.0, sources: int = 4) -> Simulated:
    """Queries whose source leads by about `lead`."""
    random = np.random.default_rng(seed)
    truth = np.arange(count) % sources
    scores = level + random.normal(size=(count, sources))
    scores[np.arange(count), truth] += lead
    return Simulated(scores, truth)


def strangers_like(count: int, seed: int, lead: float, level: float) -> list[Strangers]:
    """Each source left out: its queries lead by `lead` for another one, at another level of fit."""
    found = []
    for at, source in enumerate(SOURCES):
        rest = tuple(each for each in SOURCES if each != source)
        theirs = clear(count, seed + at, lead, level, 3)
        found.append(
            Strangers(rest, clear(count, seed + 10 + at, 6, 0, 3), Simulated(theirs.scores, np.full(count, -1)))
        )
    return found


@pytest.mark.parametrize("temperature", [0.05, 0.3, 1.0])
def test_the_temperature_is_recovered(temperature: float) -> None:
    """From queries sampled with it, less the share that true queries are harder; probabilities are then modest.

    With the temperature of the simulated queries they are the shares of right answers.
    """
    found = calibrate(SOURCES, sampled_queries(4000, temperature), [], ALONE, 200)
    assert found.temperature == pytest.approx(0.6 * temperature, rel=0.2)
    new = sampled_queries(4000, temperature, seed=1)
    assert found.probabilities(new.scores).max(axis=1).mean() < new.right.mean()
    plain = softmax(found.temperature / 0.6 * new.scores)
    assert plain.max(axis=1).mean() == pytest.approx(new.right.mean(), abs=0.03)


@pytest.mark.parametrize("temperature", [0.05, 0.3, 1.0])
def test_sets_cover_new_queries(temperature: float) -> None:
    """96 of 100 simulated queries have their source in the set, so that 90 true ones have; the likeliest is in it."""
    found = calibrate(SOURCES, sampled_queries(2000, temperature), [], ALONE, 200)
    new = sampled_queries(2000, temperature, seed=1)
    sets = found.in_set(found.probabilities(new.scores))
    assert sets[np.arange(2000), new.truth].mean() == pytest.approx(0.96, abs=0.03)
    assert sets[np.arange(2000), new.scores.argmax(axis=1)].all()
    assert found.narrowed.queries == 2000
    assert found.narrowed.named == pytest.approx((sets.sum(axis=1) < 4).mean(), abs=0.05)


def test_what_was_measured_is_recounted() -> None:
    """Fit, sets and the level for callers who exclude strangers, query by query."""
    own = sampled_queries(3000, 1.0)
    found = calibrate(SOURCES, own, [], ALONE, 200)
    probabilities = found.probabilities(own.scores)
    sets = found.in_set(probabilities)
    of_truth = sets[np.arange(3000), own.truth]
    small = sets.sum(axis=1) < 4
    assert of_truth.mean() == pytest.approx(0.96, abs=0.005)
    # Without strangers nothing is named by the rules, so that every small set is a verdict.
    assert (found.narrowed.named, found.narrowed.right) == (small.mean(), of_truth[small].mean())
    fits = own.scores.max(axis=1)
    assert (found.fit_center, found.fit_spread) == (pytest.approx(fits.mean()), pytest.approx(fits.std()))
    assert (fits < found.fit_limit).mean() == pytest.approx(0.01, abs=0.002)
    named = probabilities.max(axis=1) >= found.closed_level
    assert found.closed.named == pytest.approx(named.mean())
    assert found.closed.right == pytest.approx(own.right[named].mean())
    assert own.right[named].mean() >= PRECISION
    rest = small & ~named
    assert (found.closed_narrowed.named, found.closed_narrowed.right) == (rest.mean(), of_truth[rest].mean())
    assert found.closed_group is None


def test_strangers_with_a_poor_fit_are_not_named() -> None:
    """Where fit separates them, nearly all own queries are named, within both bounds, also in new queries."""
    own = clear(800, 1, 6)
    rule = naming_rule(SOURCES, own, strangers_like(200, 2, 6, -20), ALONE)
    new, foreign = clear(2000, 77, 6), clear(2000, 78, 6, -20)
    assert rule.names(*margin_and_fit(new.scores, np.arange(4))).mean() > 0.9
    assert rule.names(*margin_and_fit(foreign.scores, np.arange(4))).mean() <= STRANGERS_NAMED
    named = rule.names(*margin_and_fit(own.scores, np.arange(4)))
    assert rule.measured.named == named.mean()
    assert rule.measured.right == own.right[named].mean()
    assert own.right[named].mean() >= PRECISION
    assert (rule.measured.queries, rule.measured.strangers) == (800, 800)
    assert rule.measured.strangers_named <= STRANGERS_NAMED


def test_where_strangers_look_like_own_hardly_any_are_named() -> None:
    """The same margins and fits: naming more than the few that may be strangers would break the bound."""
    rule = naming_rule(SOURCES, clear(800, 1, 6), strangers_like(200, 2, 6, 0), ALONE)
    assert rule.names(*margin_and_fit(clear(2000, 77, 6).scores, np.arange(4))).mean() < 2 * STRANGERS_NAMED
    assert rule.measured.strangers_named <= STRANGERS_NAMED
    assert rule.measured.named < 2 * STRANGERS_NAMED


def test_without_strangers_nothing_is_named() -> None:
    """Where no source could be left out, nothing is known about strangers."""
    assert naming_rule(SOURCES, clear(800, 1, 6), [], ALONE).threshold == np.inf


def test_few_or_wrong_queries_name_nothing() -> None:
    """Less than ten named ones prove no precision, and half right ones disprove it."""
    assert naming_rule(SOURCES, clear(8, 1, 6), strangers_like(200, 2, 6, -20), ALONE).threshold == np.inf
    guesses = clear(800, 1, 0)
    assert naming_rule(SOURCES, guesses, strangers_like(200, 2, 6, -20), ALONE).threshold == np.inf
    assert calibrate(SOURCES, guesses, [], ALONE, 200).closed_level == np.inf


def test_relatives_are_named_together() -> None:
    """Two that are indistinguishable name no source between them, and their group nearly always."""
    own = clear(1600, 1, 6)
    random = np.random.default_rng(9)
    twins = own.truth < 2
    own.scores[twins, :2] = 6 + random.normal(size=(twins.sum(), 2))
    found = calibrate(SOURCES, own, strangers_like(400, 2, 6, -20), FAMILY, 200)
    assert found.groups == (0, 0, 2, 3)
    assert found.group_rule is not None
    of_twins = own.scores[twins]
    alone = found.source_rule.names(*margin_and_fit(of_twins, np.arange(4)))
    together = found.group_rule.names(*margin_and_fit(of_twins, np.array(found.groups)))
    assert together.mean() > 0.9
    assert alone.mean() < 0.3
    # What a verdict about a family was worth is counted where no source was named.
    best = np.array(found.groups)[own.scores.argmax(axis=1)]
    said = found.group_rule.names(*margin_and_fit(own.scores, np.array(found.groups))) & (best == 0)
    said &= ~found.source_rule.names(*margin_and_fit(own.scores, np.arange(4)))
    assert found.group_rule.measured.named == said.mean()
    assert found.group_rule.measured.right == twins[said].mean()
    assert found.closed_group is not None
    assert found.closed_group.right is not None
    assert found.closed_group.right > 0.9
    assert calibrate(SOURCES, own, [], ALONE, 200).group_rule is None


def test_one_group_alone_has_no_rule() -> None:
    """That the source is one of all that were asked is no statement, and it leads over nothing."""
    assert calibrate(SOURCES, clear(800, 1, 6), [], dict.fromkeys(SOURCES, 0), 200).group_rule is None


def test_wilsons_bounds_are_known_ones() -> None:
    """Of textbooks: 5 of 10 at 95 %, and the extremes."""
    assert wilson(0.5, 10, -1.96) == pytest.approx(0.2366, abs=1e-4)
    assert wilson(0.5, 10, 1.96) == pytest.approx(0.7634, abs=1e-4)
    assert wilson(0.0, 20, 1.96) == pytest.approx(0.1611, abs=1e-4)
    assert wilson(1.0, 20, -1.96) == pytest.approx(0.8389, abs=1e-4)
    assert (wilson(0.0, 0, -1.0), wilson(0.0, 0, 1.0)) == (0.0, 1.0)


@given(share=st.floats(0, 1), count=st.integers(1, 10_000), deviations=st.floats(0.1, 3))
def test_wilsons_bounds_enclose_the_share(share: float, count: int, deviations: float) -> None:
    """Within 0 and 1."""
    lower, upper = wilson(share, count, -deviations), wilson(share, count, deviations)
    assert -1e-9 <= lower <= share + 1e-9
    assert share - 1e-9 <= upper <= 1 + 1e-9


SCORES = arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(2, 5)), elements=st.floats(-1e6, 1e6))


@settings(max_examples=40)
@given(scores=SCORES)
def test_margins_are_those_of_a_loop(scores: np.ndarray) -> None:
    """The best against the best of another group, and the best; probabilities sum to 1 in the order of scores."""
    groups = np.arange(scores.shape[1]) // 2 if scores.shape[1] > 2 else np.arange(2)
    margins, fits = margin_and_fit(scores, groups)
    for row, margin, fit in zip(scores, margins, fits, strict=True):
        best = int(row.argmax())
        assert fit == row[best]
        assert margin == row[best] - max(row[at] for at in range(len(row)) if groups[at] != groups[best])
    probabilities = softmax(scores)
    assert np.allclose(probabilities.sum(axis=1), 1)
    for row, shares in zip(scores, probabilities, strict=True):
        assert np.all(np.diff(shares[np.argsort(row)]) >= 0)
