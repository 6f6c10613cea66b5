"""Ranking by residuals: from one job alone, with past jobs, and the whole method with it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from attribution.bank import Bank, past_job
from attribution.caption.fake import FakeCaptioner
from attribution.distance import distance_named
from attribution.embed.fake import FakeEmbedder
from attribution.embed.stage import embed_all, feature_space
from attribution.errors import AttributionError
from attribution.match import match
from attribution.method import attribute
from attribution.ports import (
    Attribution,
    Deadline,
    Embedded,
    Method,
    ModelRef,
    Policy,
    Ranking,
    Reason,
    VerdictKind,
)
from attribution.rank import rank
from attribution.residual import residuals, scores_without_bank
from attribution.resynthesis.fake import FakeGenerator
from tests.attribution.bank.synthetic import synthetic_past, synthetic_taps

COSINE = distance_named("cosine")
ABC = ("a", "b", "c")
REVISIONS = dict.fromkeys(ABC, "1")
FAMILIES = {source: source for source in (*ABC, "z")}


@pytest.fixture(scope="module")
def bank() -> Bank:
    """Forty past jobs of three sources."""
    return Bank("s", synthetic_past(40, ABC))


def job(seed: int, by: str, sources: Sequence[str] = ABC, images: int = 4) -> tuple[Ranking, Embedded]:
    """A new job whose query is `by` a source, ranked by distance."""
    random = np.random.default_rng(seed)
    taps = synthetic_taps(seed, sources, by, images)
    rows = {source: random.normal(size=(images, 5)).astype(np.float32) for source in sources}
    embedded = Embedded(ModelRef("e", "1"), random.normal(size=5).astype(np.float32), rows, taps=taps)
    return rank(embedded, COSINE, sources), embedded


@settings(max_examples=15)
@given(seed=st.integers(0, 500), by=st.sampled_from(ABC))
def test_without_a_bank_the_job_alone_decides(seed: int, by: str) -> None:
    """The greatest match first, nothing calibrated, and distances as they were."""
    ranking, embedded = job(seed, by)
    assert embedded.taps is not None
    found, known = match(ranking, embedded, ABC, REVISIONS, FAMILIES)
    scores = dict(zip(ABC, scores_without_bank(residuals(embedded.taps), ABC), strict=True))
    assert {entry.source: entry.match for entry in found.entries} == scores
    assert [entry.source for entry in found.entries] == sorted(ABC, key=lambda source: -scores[source])
    assert (found.method, found.calibrated, found.estimate, known) == (Method.RESIDUAL, False, None, None)
    assert all(entry.probability is None for entry in found.entries)
    assert {each.source: each.distances for each in found.entries} == {
        each.source: each.distances for each in ranking.entries
    }
    assert found.margin == ranking.margin


@settings(max_examples=15)
@given(seed=st.integers(0, 500), by=st.sampled_from(ABC))
def test_a_bank_gives_probabilities_a_set_and_a_fit(bank: Bank, seed: int, by: str) -> None:
    """Probabilities sum to 1 in the order of match; the set is a head of the ranking, with the best."""
    found, known = match(*job(seed, by), ABC, REVISIONS, FAMILIES, bank)
    assert known is not None
    assert known.calibration is not None
    assert found.calibrated
    assert found.estimate is not None
    probabilities = [entry.probability or 0.0 for entry in found.entries]
    matches = [entry.match or 0.0 for entry in found.entries]
    assert sum(probabilities) == pytest.approx(1)
    assert probabilities == sorted(probabilities, reverse=True)
    assert matches == sorted(matches, reverse=True)
    inside = found.estimate.prediction_set
    assert inside
    assert inside == tuple(entry.source for entry in found.entries)[: len(inside)]
    assert found.estimate.bank == bank.version
    assert found.estimate.jobs == dict.fromkeys(ABC, 20)  # of 40, as a round number
    assert found.estimate.coverage == 0.9
    assert found.estimate.fit == pytest.approx(
        (matches[0] - known.calibration.fit_center) / known.calibration.fit_spread
    )


def test_it_finds_the_source_and_strangers_fit_worse(bank: Bank) -> None:
    """In new jobs; a query by a source that is not asked has a fit far below 0."""
    first, fits = [], []
    for seed in range(60):
        by = ABC[seed % 3]
        found, _ = match(*job(5000 + seed, by), ABC, REVISIONS, FAMILIES, bank)
        stranger, _ = match(*job(5000 + seed, "z"), ABC, REVISIONS, FAMILIES, bank)
        assert found.estimate is not None
        assert stranger.estimate is not None
        first.append(found.entries[0].source == by)
        fits.append((found.estimate.fit, stranger.estimate.fit))
    assert np.mean(first) > 0.9
    own, foreign = np.mean(fits, axis=0)
    assert abs(own) < 0.7
    assert foreign < own - 2


def test_one_source_stays_by_distance(bank: Bank) -> None:
    """It has no residual: its ranking is what it was."""
    ranking, embedded = job(1, "a", ["a"])
    assert match(ranking, embedded, ABC, REVISIONS, FAMILIES, bank) == (ranking, None)
    assert ranking.method is Method.COSINE


def test_features_without_taps_are_refused() -> None:
    """With what to do."""
    ranking, embedded = job(1, "a")
    with pytest.raises(AttributionError, match="embed the images for this method"):
        match(ranking, replace(embedded, taps=None), ABC, REVISIONS, FAMILIES)


@pytest.mark.parametrize(
    ("revisions", "calibrated"), [({"a": "1", "b": "1"}, False), (REVISIONS | {"c": "2"}, False), (REVISIONS, True)]
)
def test_what_no_past_job_has_is_not_calibrated(bank: Bank, revisions: dict[str, str], calibrated: bool) -> None:
    """Uploaded references, without a revision, and a new revision are ranked with the bank, without probabilities."""
    found, known = match(*job(3, "a"), ABC, revisions, FAMILIES, bank)
    assert known is not None
    assert (known.calibration is not None) is found.calibrated is (found.estimate is not None) is calibrated
    assert found.method is Method.RESIDUAL
    assert found.entries[0].source == "a"


def test_the_order_decides_ties() -> None:
    """Sources with the same images stand in catalog order."""
    ranking, embedded = job(1, "a", ["a", "b"])
    assert embedded.taps is not None
    rows = embedded.taps.generated_images["a"]
    same = replace(embedded, taps=replace(embedded.taps, generated_images={"a": rows, "b": rows}))
    for order in (("a", "b"), ("b", "a")):
        found, _ = match(ranking, same, order, REVISIONS, FAMILIES)
        assert tuple(entry.source for entry in found.entries) == order
        assert found.entries[0].match == found.entries[1].match


FAKES = [FakeGenerator(name, ModelRef(f"fake/{name}", "1")) for name in "abcd"]


@pytest.fixture(scope="module")
def fakes_bank() -> Bank:
    """Past jobs of four fakes, as a service computes them: from their images, for a dozen captions."""
    embedder, past = FakeEmbedder(), []
    for number in range(12):
        images = {
            fake.source: [
                each.image for each in fake.generate(f"hat {number}", (number, number + 50), Deadline.after(60))
            ]
            for fake in FAKES
        }
        taps = embed_all(embedder, images["a"][0], images, Method.RESIDUAL).taps
        assert taps is not None
        past.append(past_job(str(number), residuals(taps), {fake.source: "1" for fake in FAKES}))
    return Bank(feature_space(embedder.ref), tuple(past))


def whole(query: Image.Image, generators: Sequence[FakeGenerator] = FAKES, **more: object) -> Attribution:
    """The method by default, with fakes."""
    return attribute(
        query,
        captioner=FakeCaptioner(),
        generators=generators,
        embedder=FakeEmbedder(),
        distance=COSINE,
        images_per_source=2,
        prompt="a hat",
        **more,  # type: ignore[arg-type]
    )


@pytest.fixture
def query() -> Image.Image:
    """An image that fake c generated."""
    return FAKES[2].generate("a hat", (99,), Deadline.after(60))[0].image


def test_the_method_is_by_residuals_unless_asked_otherwise(query: Image.Image, fakes_bank: Bank) -> None:
    """With a bank it finds the source with a probability; without one, with none; by distance, without residuals."""
    with_bank = whole(query, bank=fakes_bank)
    assert with_bank.ranking.method is Method.RESIDUAL
    assert with_bank.ranking.entries[0].source == "c"
    assert with_bank.ranking.estimate is not None
    assert with_bank.ranking.estimate.jobs == dict.fromkeys("abcd", 10)
    assert sum(entry.probability or 0 for entry in with_bank.ranking.entries) == pytest.approx(1)
    again = whole(query, bank=fakes_bank)
    assert (again.ranking, again.verdict) == (with_bank.ranking, with_bank.verdict)
    alone = whole(query)
    assert (alone.ranking.method, alone.ranking.entries[0].source) == (Method.RESIDUAL, "c")
    assert alone.verdict.reason is Reason.UNCALIBRATED
    papers = whole(query, bank=fakes_bank, method=Method.COSINE)
    assert (papers.ranking.method, papers.ranking.estimate) == (Method.COSINE, None)
    assert all(entry.match is None for entry in papers.ranking.entries)


def test_the_policy_and_families_reach_the_verdict(query: Image.Image, fakes_bank: Bank) -> None:
    """Of callers who exclude strangers, the source is named; fakes differ so much that one is always certain."""
    closed = whole(query, bank=fakes_bank, policy=Policy.CLOSED)
    assert (closed.verdict.kind, closed.verdict.source) == (VerdictKind.ATTRIBUTED, "c")
    assert closed.verdict.policy is Policy.CLOSED
    assert closed.verdict.measured is not None
    assert closed.verdict.measured.right == 1
    opened = whole(query, bank=fakes_bank, families=dict(zip("abcd", "xyyz", strict=True)))
    assert opened.verdict.policy is Policy.OPEN
    assert {opened.verdict.source, *opened.verdict.sources} >= {"c"}


def test_external_scores_are_fused_with_matches(query: Image.Image, fakes_bank: Bank) -> None:
    """Their z-scores, and nothing is calibrated afterwards; the matches stay."""
    plain = whole(query, bank=fakes_bank)
    fused = whole(query, bank=fakes_bank, external_scores={"a": 1.0, "b": 0.0}, fusion_weight=1.0)
    assert fused.ranking.entries[0].source == "a"
    assert fused.verdict.reason is Reason.UNCALIBRATED
    assert {entry.source: entry.match for entry in fused.ranking.entries} == {
        entry.source: entry.match for entry in plain.ranking.entries
    }
    own = whole(query, bank=fakes_bank, external_scores={"a": 1.0, "b": 0.0}, fusion_weight=0.0)
    assert [entry.source for entry in own.ranking.entries] == [entry.source for entry in plain.ranking.entries]


def test_one_fake_is_no_comparison(query: Image.Image, fakes_bank: Bank) -> None:
    """Below the quorum nothing is claimed; the ranking is then by distance."""
    answer = whole(query, FAKES[2:3], bank=fakes_bank)
    assert (answer.ranking.method, answer.verdict.reason) == (Method.COSINE, Reason.NO_QUORUM)
