"""Calibration: thresholds keep their bounds, and unknown are what a left-out source makes them."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from attribution.ports import ModelRef, Ranked, Ranking, VerdictKind
from attribution.verdict import Calibration, judge
from evaluation.calibrate import (
    FALSE_NAMES,
    PRECISION,
    all_candidates,
    bound,
    choose,
    cross_validated,
    entry,
    judged,
    keep,
    leave_one_out,
    left_out,
    with_intervals,
)
from evaluation.evaluate import Rankings, rankings
from tests.evaluation.test_evaluate import NAMES, features

REVISIONS = dict.fromkeys(NAMES, "1")


@pytest.fixture(scope="module")
def found() -> Rankings:
    """Sources that are mostly separable."""
    return rankings(features(1.2, 60), "cosine", 3)


def test_left_out_means_not_among_the_candidates(found: Rankings) -> None:
    """The nearest of the others, its lead over the next of the others, and never right."""
    unknown = left_out(found)
    others = np.sort(np.delete(found.distances[2, 7], 2))
    assert unknown.distance[2, 7] == others[0]
    assert unknown.margin[2, 7] == others[1] - others[0]
    assert not unknown.right.any()


def test_chosen_thresholds_keep_their_bounds(found: Rankings) -> None:
    """Nine in ten of the named right, at most one in twenty of the unknown named; and something is named."""
    own, unknown = all_candidates(found), left_out(found)
    pair = choose(own, unknown)
    assert pair.named > 0.05
    assert pair.precision >= PRECISION
    assert pair.left_out_named <= FALSE_NAMES


def test_chance_names_no_source() -> None:
    """For inseparable sources only thresholds that name nothing are within the bounds."""
    random = np.random.default_rng(3)
    noise = Rankings(NAMES, random.uniform(0.2, 0.21, (4, 200, 4)))
    pair = choose(all_candidates(noise), left_out(noise))
    assert (pair.named, pair.left_out_named) == (0.0, 0.0)


def test_bounds_are_wilsons() -> None:
    """Against SciPy's interval; a share seen seldom keeps a wider distance."""
    interval = binomtest(18, 20).proportion_ci(0.60, method="wilson")
    assert bound(0.9, 20, -0.8416) == pytest.approx(interval.low, abs=1e-4)
    assert bound(0.9, 20, 0.8416) == pytest.approx(interval.high, abs=1e-4)
    assert bound(1.0, 10, -0.8416) < bound(1.0, 100, -0.8416) < 1


def test_what_is_reported_was_measured_on_other_characters() -> None:
    """One character that is unlike the others in everything cannot vouch for the thresholds that it is judged by."""
    easy = np.full((4, 50, 4), 0.9)
    easy[np.arange(4), :, np.arange(4)] = 0.1
    assert cross_validated(Rankings(NAMES, easy))["coverage"] == 1.0
    odd = easy.copy()
    odd[:, 0] = np.roll(easy[:, 0], 1, axis=1) - 0.05  # nearer than any other, and wrong
    measured = cross_validated(Rankings(NAMES, odd))
    assert measured["precision_among_attributed"] == pytest.approx(196 / 200)


def test_keeping_ninety_in_a_hundred(found: Rankings) -> None:
    """It keeps them, and names fewer unknown than naming everything would."""
    pair = keep(all_candidates(found), left_out(found))
    assert pair.right_kept >= 0.9
    assert pair.left_out_named < 1
    report = leave_one_out(found)
    assert report["all"]["wrong_at_90"] == pytest.approx(pair.left_out_named)
    assert set(report["sources"]) == set(NAMES)
    assert 0.5 < report["all"]["auroc_distance"] <= 1


def test_intervals_of_left_out_sources(found: Rankings) -> None:
    """Beside each figure its own, which is wider for one source than for all together."""
    report = with_intervals(leave_one_out(found), found)
    widths = []
    for row in (report["all"], *report["sources"].values()):
        for name in ("auroc_distance", "auroc_margin"):
            low, high = row[f"{name}_interval_95"]
            assert low <= row[name] <= high
            widths.append(high - low)
    assert 0 < widths[0] < np.mean(widths[2::2])


def test_the_service_reads_it_and_judges_the_same(found: Rankings, tmp_path: Path) -> None:
    """A calibration file names exactly those queries that it says it names, and results say which file it was."""
    written = entry(found, "e@1", "cosine", 3, REVISIONS)
    (tmp_path / "mine.json").write_text(json.dumps({"schema": 1, "dataset": {"name": "x"}, "entries": [written]}))
    threshold = Calibration.load([tmp_path / "mine.json"]).find(ModelRef("e", "1"), "cosine", 3, REVISIONS)
    assert threshold is not None
    assert str(threshold.calibration).startswith("mine.json@sha256:")
    verdicts = []
    for row in found.flat:
        order = np.argsort(row, kind="stable")
        ranked = tuple(Ranked(NAMES[j], float(row[j]), 0.0, ()) for j in order)
        ranking = Ranking("cosine", ranked, ranked[1].distance - ranked[0].distance)
        verdicts.append(judge(ranking, quorum=2, threshold=threshold).kind is VerdictKind.ATTRIBUTED)
    pair = judged((threshold.max_distance, threshold.min_margin), all_candidates(found), left_out(found))
    assert np.mean(verdicts) == pytest.approx(pair.named)
    assert threshold.measured["coverage"] == pytest.approx(pair.named, abs=0.1)
