"""The method as a whole: it is its stages, it is repeatable, and a failing source does not sink it.

By distance; `test_match.py` has the ranking by residuals.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from attribution.caption import describe
from attribution.caption.fake import FakeCaptioner
from attribution.distance import distance_named
from attribution.embed.fake import FakeEmbedder
from attribution.embed.stage import embed_all
from attribution.errors import AttributionError
from attribution.image import decode_own, encode_png
from attribution.method import attribute
from attribution.ports import (
    Aggregate,
    Attribution,
    Deadline,
    DistanceName,
    Embedded,
    Fusion,
    GeneratedImage,
    Method,
    ModelRef,
    Reason,
    SourceState,
    Threshold,
    VerdictKind,
)
from attribution.rank import rank
from attribution.resynthesis import derive_seeds, resynthesize
from attribution.resynthesis.fake import FakeBehavior, FakeGenerator
from attribution.verdict import Calibration, judge

COSINE = distance_named("cosine")


def _fake(name: str, **behavior: object) -> FakeGenerator:
    return FakeGenerator(name, ModelRef(f"fake/{name}", "1"), FakeBehavior(**behavior))  # type: ignore[arg-type]


FAKES = [_fake(name) for name in ("a", "b", "c", "d")]


@pytest.fixture
def query() -> Image.Image:
    """An image that fake c generated."""
    return FAKES[2].generate("a hat", (99,), Deadline.after(9))[0].image


def _attribute(query: Image.Image, generators: Sequence[FakeGenerator] = FAKES, **more: Any) -> Attribution:
    return attribute(
        query,
        captioner=FakeCaptioner(),
        generators=generators,
        embedder=FakeEmbedder(),
        **dict[str, Any](distance=COSINE, method=Method.COSINE) | more,
    )


def _npy(vectors: np.ndarray) -> np.ndarray:
    """Write and read vectors as a blob store does."""
    buffer = BytesIO()
    np.save(buffer, vectors, allow_pickle=False)
    buffer.seek(0)
    loaded: np.ndarray = np.load(buffer, allow_pickle=False)
    return loaded


def test_it_equals_its_stages_called_one_by_one(query: Image.Image) -> None:
    """Storing images as PNG and vectors as npy between stages does not change the ranking."""
    whole = _attribute(query, images_per_source=3)

    stored = encode_png(query)
    caption = describe(FakeCaptioner(), decode_own(stored))
    generated: dict[str, list[bytes]] = {}
    for generator in FAKES:
        seeds = derive_seeds(caption.text, generator.source, generator.ref.revision, 3, None)
        result = resynthesize(generator, caption, seeds, Deadline.after(60))
        generated[result.source] = [encode_png(generated_image.image) for generated_image in result.generated_images]
    images = {source: [decode_own(data) for data in images] for source, images in generated.items()}
    embedded = embed_all(FakeEmbedder(), decode_own(stored), images)
    embedded = Embedded(
        embedded.embedder,
        _npy(embedded.query),
        {source: _npy(rows) for source, rows in embedded.generated_images.items()},
    )
    ranking = rank(embedded, COSINE, [generator.source for generator in FAKES])

    assert ranking == whole.ranking
    assert judge(ranking, quorum=2, threshold=None) == whole.verdict
    assert caption == whole.caption


def test_the_one_who_generated_it_is_nearest(query: Image.Image) -> None:
    """The right fake is first; without a calibration no source is named."""
    answer = _attribute(query)
    assert answer.ranking.entries[0].source == "c"
    assert (answer.verdict.kind, answer.verdict.reason) == (VerdictKind.INCONCLUSIVE, Reason.UNCALIBRATED)
    assert answer.seconds.keys() == {"captioning", "resynthesizing", "embedding", "ranking"}


def test_the_same_question_gives_the_same_answer(query: Image.Image) -> None:
    """Two runs agree in everything but their timings; another seed generates other images."""
    first, second, other = (_attribute(query, seed=seed) for seed in (None, None, 5))
    assert first.ranking == second.ranking
    seeds, others = ([d.seed for r in answer.resyntheses for d in r.generated_images] for answer in (first, other))
    assert set(seeds).isdisjoint(others)


@pytest.mark.parametrize("name", list(DistanceName))
def test_every_distance_ranks_a_whole_job(query: Image.Image, name: DistanceName) -> None:
    """With every distance, each generated image has a finite distance, and the answer names it."""
    ranking = _attribute(query, distance=distance_named(name), images_per_source=3, aggregate=Aggregate.MEDIAN).ranking
    assert (ranking.distance, ranking.aggregate) == (name, "median")
    assert [len(entry.distances) for entry in ranking.entries] == [3] * 4
    assert all(entry.distance == sorted(entry.distances)[1] for entry in ranking.entries)
    assert ranking.entries[0].source == "c"


def test_another_methods_scores_are_fused_with_ours(query: Image.Image) -> None:
    """External scores can change the order; distances stay, and the verdict is uncalibrated."""

    class Lenient(Calibration):
        def find(self, *question: Any) -> Threshold:
            return Threshold(2.0, 0.0)

    plain = _attribute(query, calibration=Lenient())
    fused = _attribute(query, calibration=Lenient(), external_scores={"a": 9.0, "elsewhere": 1.0}, fusion_weight=1.0)
    assert plain.verdict.source == "c"
    assert fused.ranking.fusion == Fusion(1.0, 0.0, ("elsewhere",))
    assert {e.source: e.distance for e in fused.ranking.entries} == {
        e.source: e.distance for e in plain.ranking.entries
    }
    assert fused.ranking.margin == plain.ranking.margin
    assert fused.verdict.reason is Reason.TIE  # one score alone stands out from nothing
    others = dict.fromkeys("bcd", 0.0)
    turned = _attribute(query, calibration=Lenient(), external_scores={"a": 9.0, **others}, fusion_weight=1.0)
    assert turned.ranking.entries[0].source == "a"
    assert turned.verdict.reason is Reason.UNCALIBRATED


@pytest.mark.parametrize(
    ("external_scores", "weight"), [({"a": float("inf")}, 0.5), ({"a": 1.0}, 1.5), ({"a": 1.0}, float("nan"))]
)
def test_scores_that_are_none_are_refused_before_anything_is_generated(
    query: Image.Image, external_scores: dict[str, float], weight: float
) -> None:
    """An invalid argument is an error before any generator is called."""

    class Untouched(FakeGenerator):
        def generate(self, *_: object) -> list[object]:  # type: ignore[override]
            raise AssertionError

    with pytest.raises(AttributionError, match="external score"):
        _attribute(query, [Untouched("a", ModelRef("a", "1"))], external_scores=external_scores, fusion_weight=weight)


def test_a_prompt_skips_the_captioner(query: Image.Image) -> None:
    """The caller's words are generated, and the answer says whose they are."""
    answer = _attribute(query, prompt="a hat")
    assert (answer.caption.text, answer.caption.captioner.name) == ("a hat", "given")


def test_failing_sources_are_reported_and_not_ranked(query: Image.Image) -> None:
    """Each failure has its state and sentence; the other sources are ranked."""
    seen: list[tuple[str, Exception]] = []

    class Broken(FakeGenerator):
        def generate(self, *_: object) -> list[object]:  # type: ignore[override]
            raise ZeroDivisionError

    refusing, black = _fake("x", fail="refused_prompt"), _fake("y", fail="black")
    slow, broken = _fake("z", sleep_seconds=9), Broken("w", ModelRef("w", "1"))
    generators = [refusing, FAKES[0], black, FAKES[2], slow, broken]
    timeouts = {generator.source: 0.05 if generator.source == "z" else 60.0 for generator in generators}
    answer = _attribute(query, generators, timeouts=timeouts, on_error=lambda *what: seen.append(what))

    assert {r.source: r.state for r in answer.resyntheses} == {
        "x": SourceState.REFUSED_PROMPT,
        "a": SourceState.DONE,
        "y": SourceState.REFUSED_OUTPUT,
        "c": SourceState.DONE,
        "z": SourceState.TIMEOUT,
        "w": SourceState.ERROR,
    }
    assert all((r.reason is None) == (r.state is SourceState.DONE) for r in answer.resyntheses)
    assert [entry.source for entry in answer.ranking.entries] == ["c", "a"]
    assert [source for source, _ in seen] == ["w"]


def test_below_the_quorum_nothing_is_claimed(query: Image.Image) -> None:
    """One tested source is ranked, but is no comparison."""
    answer = _attribute(query, [FAKES[2], _fake("x", fail="unavailable")])
    assert answer.verdict.reason is Reason.NO_QUORUM
    assert len(answer.ranking.entries) == 1


def test_a_calibration_of_this_setting_lets_it_name(query: Image.Image) -> None:
    """The threshold is looked up by what was really tested, with revisions."""

    class Recording(Calibration):
        asked: tuple[object, ...] = ()

        def find(self, *question: Any) -> Threshold:
            self.asked = question
            return Threshold(2.0, 0.0)

    calibration = Recording()
    answer = _attribute(
        query, [FAKES[0], FAKES[2], _fake("x", fail="error")], images_per_source=2, calibration=calibration
    )
    assert (answer.verdict.kind, answer.verdict.source) == (VerdictKind.ATTRIBUTED, "c")
    assert calibration.asked == (FakeEmbedder().ref, "cosine", 2, {"a": "1", "c": "1"}, Aggregate.MEAN)


def test_a_source_short_of_generated_images_is_another_setting(query: Image.Image) -> None:
    """A threshold for γ images is not used if there are fewer."""

    class Short(FakeGenerator):
        def generate(self, prompt: str, seeds: Sequence[int], deadline: Deadline) -> list[GeneratedImage]:
            return super().generate(prompt, seeds[1:], deadline)

    class Lenient(Calibration):
        def find(self, *question: Any) -> Threshold:
            return Threshold(2.0, 0.0)

    answer = _attribute(query, [FAKES[2], Short("s", ModelRef("s", "1"))], calibration=Lenient())
    assert answer.verdict.reason is Reason.UNCALIBRATED
    assert len(answer.ranking.entries) == 2


def test_the_order_of_generators_decides_ties(query: Image.Image) -> None:
    """Two sources that generate the same stand in the order they were given, and the verdict is a tie."""

    class Twin(FakeGenerator):
        def generate(self, prompt: str, seeds: Sequence[int], deadline: Deadline) -> list[GeneratedImage]:
            return FAKES[2].generate(prompt, (1, 2), deadline)

    generators = [Twin(name, ModelRef("twin", "1")) for name in ("second", "first")]
    answer = _attribute(query, generators, images_per_source=2)
    assert [entry.source for entry in answer.ranking.entries] == ["second", "first"]
    assert answer.verdict.reason is Reason.TIE
