"""The plug-in: what fusing promises whatever the scores are, and what it does with those that lack."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attribution.errors import AttributionError
from attribution.fuse import fuse
from attribution.ports import Ranked, Ranking

SCORES = st.floats(-1e300, 1e300)


def _ranking(**distances: float) -> Ranking:
    nearest = sorted(distances, key=distances.__getitem__)
    entries = tuple(Ranked(source, distances[source], 0.5, (distances[source],)) for source in nearest)
    margin = entries[1].distance - entries[0].distance if len(entries) > 1 else None
    return Ranking("cosine", entries, margin)


OURS = _ranking(a=0.1, b=0.2, c=0.6)


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 2), min_size=1),
    st.dictionaries(st.sampled_from("abcdefgh"), SCORES),
    st.floats(0, 1),
)
def test_what_every_fusion_promises(
    distances: dict[str, float], external_scores: dict[str, float], weight: float
) -> None:
    """Fused scores are finite and descend; distances and margin do not change; untested sources are ignored."""
    ranking = _ranking(**distances)
    fused = fuse(ranking, external_scores, "abcdefgh", weight)
    scores = [entry.fused for entry in fused.entries if entry.fused is not None]
    assert len(scores) == len(fused.entries)
    assert all(map(math.isfinite, scores))
    assert scores == sorted(scores, reverse=True)
    assert {e.source: (e.distance, e.distances, e.score) for e in fused.entries} == {
        e.source: (e.distance, e.distances, e.score) for e in ranking.entries
    }
    assert {e.source: e.external_score for e in fused.entries} == {
        source: external_scores.get(source) for source in distances
    }
    assert fused.margin == ranking.margin
    assert set(fused.fusion.unused) == external_scores.keys() - distances.keys()
    assert fused.fusion.margin is None or fused.fusion.margin >= 0


def test_it_is_the_weighted_sum_of_z_scores() -> None:
    """The fused scores equal those computed by hand."""
    own = (np.array([-0.1, -0.2, -0.6]) + 0.3) / np.sqrt(0.14 / 3)
    theirs = (np.array([0, 3, 3]) - 2) / np.sqrt(2)
    fused = fuse(OURS, {"a": 0, "b": 3, "c": 3}, "abc", 0.25)
    expected = dict(zip("abc", 0.75 * own + 0.25 * theirs, strict=True))
    assert {entry.source: entry.fused for entry in fused.entries} == pytest.approx(expected)
    assert fused.entries[0].source == "b"


def test_the_scale_of_scores_does_not_count() -> None:
    """Probabilities, logits and percentages of one method are the same."""
    external_scores = {"a": 0.1, "b": 0.7, "c": 0.2}
    plain = fuse(OURS, external_scores, "abc", 0.5)
    moved = fuse(OURS, {source: 1e6 * score - 40 for source, score in external_scores.items()}, "abc", 0.5)
    assert [e.fused for e in moved.entries] == pytest.approx([e.fused for e in plain.entries])


def test_who_has_no_score_counts_as_average() -> None:
    """A source without a score ranks between those with a high and a low score."""
    fused = fuse(_ranking(a=0.5, b=0.5, c=0.5), {"a": 0.0, "c": 1.0}, "abc", 0.5)
    assert [(e.source, e.fused) for e in fused.entries] == [("c", 0.5), ("b", 0.0), ("a", -0.5)]


@pytest.mark.parametrize(
    "external_scores", [{}, {"b": 3.0}, {"a": 2.0, "b": 2.0, "c": 2.0}, {"elsewhere": 1.0, "a": 5.0}]
)
def test_scores_that_tell_nothing_change_nothing(external_scores: dict[str, float]) -> None:
    """Scores that do not distinguish the tested sources do not change the order."""
    assert [e.source for e in fuse(OURS, external_scores, "abc", 0.5).entries] == ["a", "b", "c"]


def test_equal_ones_stand_in_catalog_order() -> None:
    """Equal fused scores keep the given order."""
    fused = fuse(_ranking(a=0.5, b=0.5), {}, "ba", 0.5)
    assert [e.source for e in fused.entries] == ["b", "a"]
    assert fused.fusion.margin == 0


def test_nothing_tested_is_nothing_fused() -> None:
    """An empty ranking stays empty, and lists the unused scores."""
    fused = fuse(Ranking("cosine", (), None), {"a": 1.0}, "ab", 0.5)
    assert (fused.entries, fused.fusion.margin, fused.fusion.unused) == ((), None, ("a",))


@pytest.mark.parametrize(("score", "weight"), [(math.nan, 0.5), (math.inf, 0.5), (1.0, -0.1), (1.0, math.nan)])
def test_what_is_no_number_is_refused(score: float, weight: float) -> None:
    """With a sentence."""
    with pytest.raises(AttributionError, match="external score"):
        fuse(OURS, {"a": score}, "abc", weight)
