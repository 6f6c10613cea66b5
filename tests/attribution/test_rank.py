"""The ranking: held against a slow reference, and its rules on ties, gaps and nonsense."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from attribution.distance import distance_named
from attribution.errors import AttributionError
from attribution.ports import Aggregate, Embedded, ModelRef, Vectors
from attribution.rank import rank
from attribution.rank_reference import rank_in_plain_loops

COSINE = distance_named("cosine")
REF = ModelRef("embedder", "1")


def _unit(rows: Vectors) -> Vectors:
    unit: Vectors = (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
    return unit


@st.composite
def _embedded(draw: st.DrawFn) -> tuple[Embedded, list[str]]:
    """Up to six sources, tested or not, with a γ each, in some dimension; some of them twins."""
    d = draw(st.integers(2, 8))
    values = st.floats(-1, 1, width=32).filter(lambda x: abs(x) > 1e-3)
    names = draw(st.lists(st.sampled_from("abcdef"), unique=True))
    generated_images = {
        name: _unit(draw(arrays(np.float32, (draw(st.integers(1, 4)), d), elements=values)))
        for name in names
        if draw(st.booleans())
    }
    if len(generated_images) > 1 and draw(st.booleans()):
        first, second, *_ = generated_images
        generated_images[second] = generated_images[first].copy()
    return Embedded(REF, _unit(draw(arrays(np.float32, d, elements=values))), generated_images), names


@given(_embedded(), st.floats(0.05, 5), st.sampled_from(Aggregate))
def test_it_agrees_with_the_reference(
    case: tuple[Embedded, list[str]], temperature: float, aggregate: Aggregate
) -> None:
    """Distances, scores and margin agree; the order agrees, except between sources that rounding makes equal."""
    embedded, order = case
    fast = rank(embedded, COSINE, order, temperature, aggregate)
    slow = rank_in_plain_loops(embedded, order, temperature, aggregate)

    by_operator = {entry.source: entry for entry in slow.entries}
    assert by_operator.keys() == {entry.source for entry in fast.entries} == set(embedded.generated_images)
    for entry, other in zip(fast.entries, slow.entries, strict=True):
        twin = by_operator[entry.source]
        assert entry.distance == pytest.approx(twin.distance, abs=1e-9)
        assert entry.score == pytest.approx(twin.score, abs=1e-9)
        assert entry.distances == pytest.approx(twin.distances, abs=1e-9)
        assert entry.source == other.source or entry.distance == pytest.approx(other.distance, abs=1e-9)
    assert (fast.margin is None) == (slow.margin is None)
    assert fast.margin == pytest.approx(slow.margin, abs=1e-9)


@given(_embedded())
def test_what_every_ranking_promises(case: tuple[Embedded, list[str]]) -> None:
    """Ascending distances, scores that sum to one and follow the order, a margin that is not negative."""
    embedded, order = case
    ranking = rank(embedded, COSINE, order)
    distances = [entry.distance for entry in ranking.entries]
    scores = [entry.score for entry in ranking.entries]
    assert distances == sorted(distances)
    assert scores == sorted(scores, reverse=True)
    assert not ranking.entries or sum(scores) == pytest.approx(1)
    assert ranking.margin is None or ranking.margin >= 0
    assert not ranking.calibrated


def _of(**generated_images: list[list[float]]) -> Embedded:
    rows = {name: np.array(values, np.float32) for name, values in generated_images.items()}
    return Embedded(REF, np.array([1, 0], np.float32), rows)


@pytest.mark.parametrize("order", [["b", "a", "c"], ["c", "a", "b"], ["a", "b", "c"]])
def test_ties_stand_in_catalog_order(order: list[str]) -> None:
    """Equal means keep the order of the catalog, not of the features."""
    twins = _of(a=[[0.6, 0.8]], b=[[0.6, 0.8]], c=[[0.6, 0.8]])
    ranking = rank(twins, COSINE, order)
    assert [entry.source for entry in ranking.entries] == order
    assert ranking.margin == 0


def test_the_mean_over_generated_images_decides() -> None:
    """With the mean, one similar image does not outweigh two."""
    ranking = rank(_of(lucky=[[1, 0], [-1, 0]], good=[[0.8, 0.6], [0.8, 0.6]]), COSINE, ["lucky", "good"])
    first, second = ranking.entries
    assert (first.source, second.source) == ("good", "lucky")
    assert (first.distance, second.distance) == pytest.approx((0.2, 1.0))
    assert second.distances == pytest.approx((0.0, 2.0))
    assert ranking.margin == pytest.approx(0.8)


def test_the_greatest_similarity_is_the_smallest_distance() -> None:
    """With `max` the most similar image decides."""
    generated_images = _of(lucky=[[1, 0], [-1, 0]], good=[[0.8, 0.6], [0.8, 0.6]])
    first, second = rank(generated_images, COSINE, ["lucky", "good"], aggregate=Aggregate.MAX).entries
    assert (first.source, first.distance, second.distance) == ("lucky", pytest.approx(0), pytest.approx(0.2))


def test_sources_that_were_not_tested_have_no_place() -> None:
    """An untested source has neither distance nor score."""
    ranking = rank(_of(a=[[1, 0]]), COSINE, ["gone", "a"])
    assert [entry.source for entry in ranking.entries] == ["a"]
    assert (ranking.entries[0].score, ranking.margin) == (1.0, None)


def test_nothing_tested_is_an_empty_ranking() -> None:
    """No sources, no entries, no margin, no error."""
    ranking = rank(_of(), COSINE, ["a"])
    assert (ranking.entries, ranking.margin) == ((), None)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 0.0])
def test_features_that_are_no_numbers_are_an_error(bad: float) -> None:
    """NaN and zero vectors are errors that name the source."""
    with pytest.raises(AttributionError, match="of a give no distance"):
        rank(_of(a=[[bad, 0]]), COSINE, ["a"])


def test_a_stranger_is_an_error() -> None:
    """Features of a source outside the order are a mistake upstream."""
    with pytest.raises(AttributionError, match="unknown"):
        rank(_of(unknown=[[1, 0]]), COSINE, ["a"])


def test_a_lower_temperature_sharpens() -> None:
    """τ changes scores and nothing else."""
    embedded = _of(a=[[1, 0]], b=[[0, 1]])
    mild, sharp = (rank(embedded, COSINE, ["a", "b"], temperature) for temperature in (1.0, 0.1))
    assert sharp.entries[0].score > mild.entries[0].score
    assert sharp.margin == mild.margin
    assert sharp.temperature == 0.1
