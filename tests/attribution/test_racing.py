"""Racing: which sources get more images, when it ends, and the whole method with it."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from attribution.bank import Bank, past_job
from attribution.caption.fake import FakeCaptioner
from attribution.distance import distance_named
from attribution.embed.fake import FakeEmbedder
from attribution.embed.stage import embed_all, feature_space
from attribution.method import attribute
from attribution.ports import Attribution, Deadline, GeneratedImage, Generator, Method, ModelRef, Origin, SourceState
from attribution.race import Budget, RaceEnd, RaceRound
from attribution.racing import FLOOR, may_race, next_round
from attribution.residual import residuals
from attribution.resynthesis import References
from attribution.resynthesis.fake import FakeGenerator

ONE = dict.fromkeys("abc", 1)


@pytest.mark.parametrize(
    ("probabilities", "images", "asked", "expected"),
    [
        ((0.98, 0.01, 0.01), ONE, 1, RaceRound(4, ("a",))),
        ((0.98, 0.01, 0.01), {"a": 4, "b": 1, "c": 1}, 4, RaceEnd.ONE_LEFT),
        ((0.98, 0.01, 0.01), {"a": 1, "b": 2, "c": 2}, 2, RaceEnd.ONE_LEFT),
        ((0.6, 0.38, 0.02), ONE, 1, RaceRound(2, ("a", "b"))),
        ((0.4, 0.3, 0.3), ONE, 1, RaceRound(2, ("a", "b", "c"))),
        ((0.6, 0.38, 0.02), {"a": 2, "b": 2, "c": 1}, 2, RaceRound(4, ("a", "b"))),
        ((0.5, 0.25, 0.25), {"a": 2, "b": 2, "c": 1}, 2, RaceRound(4, ("a", "b"))),
        ((0.5, 0.25, 0.25), {"a": 4, "b": 4, "c": 1}, 4, RaceEnd.ALL_IMAGES),
        ((0.5, 0.25, 0.25), {"a": 2, "b": 1, "c": 1}, 2, RaceRound(4, ("a",))),
        ((0.6, 0.38, 0.02), {"a": 1, "b": 3, "c": 1}, 1, RaceRound(2, ("a",))),
        (None, ONE, 1, RaceRound(4, ("a", "b", "c"))),
        (None, {"a": 4, "b": 3, "c": 4}, 4, RaceEnd.ALL_IMAGES),
        (None, {}, 1, RaceEnd.ALL_IMAGES),
    ],
    ids=str,
)
def test_rounds(
    probabilities: tuple[float, ...] | None, images: dict[str, int], asked: int, expected: RaceRound | RaceEnd
) -> None:
    """Which sources get how many images, or why the race ends; γ is 4."""
    given_to = None if probabilities is None else dict(zip("abc", probabilities, strict=True))
    assert next_round(given_to, images, asked, 4) == expected


@given(data=st.data(), most=st.integers(2, 16), count=st.integers(2, 6))
def test_every_race_ends(data: st.DataObject, most: int, count: int) -> None:
    """After few rounds, whatever the probabilities; no source has more than γ images, and what is left out stays so."""
    sources = "abcdef"[:count]
    images, asked, rounds = dict.fromkeys(sources, 1), 1, [set(sources)]
    while True:
        weights = data.draw(st.lists(st.floats(0.01, 100), min_size=count, max_size=count))
        probabilities = {source: each / sum(weights) for source, each in zip(sources, weights, strict=True)}
        after = next_round(probabilities, images, asked, most)
        if isinstance(after, RaceEnd):
            break
        assert asked < after.images <= most
        assert set(after.sources) <= rounds[-1]
        assert all(probabilities[source] >= FLOOR * max(probabilities.values()) for source in after.sources)
        asked = after.images
        images |= dict.fromkeys(after.sources, asked)
        rounds.append(set(after.sources))
    assert len(rounds) <= 5  # 1, 2, 4, 8, 16


@pytest.mark.parametrize(
    ("budget", "method", "origins", "most", "expected"),
    [
        (Budget.RACING, Method.RESIDUAL, [Origin.GENERATOR] * 2, 4, True),
        (Budget.AUTO, Method.RESIDUAL, [Origin.GENERATOR] * 2, 2, True),
        (Budget.FIXED, Method.RESIDUAL, [Origin.GENERATOR] * 2, 4, False),
        (Budget.RACING, Method.COSINE, [Origin.GENERATOR] * 2, 4, False),
        (Budget.RACING, Method.RESIDUAL, [Origin.GENERATOR], 4, False),
        (Budget.RACING, Method.RESIDUAL, [Origin.GENERATOR, Origin.REFERENCE, Origin.GENERATOR], 4, False),
        (Budget.RACING, Method.RESIDUAL, [Origin.GENERATOR] * 2, 1, False),
    ],
    ids=["racing", "auto", "fixed", "cosine", "one source", "references", "one image"],
)
def test_what_may_race(budget: Budget, method: Method, origins: list[Origin], most: int, expected: bool) -> None:
    """Only by residuals, of two sources or more that all generate, with more than one image."""
    assert may_race(budget, method, origins, most) is expected


FAKES = [FakeGenerator(name, ModelRef(f"fake/{name}", "1")) for name in "abcd"]


class Counting:
    """A fake that counts its images, and may refuse after the first one."""

    def __init__(self, fake: FakeGenerator, refuses: bool = False) -> None:
        self.source, self.ref, self.images = fake.source, fake.ref, 0
        self._fake, self._refuses = fake, refuses

    def generate(self, prompt: str, seeds: Sequence[int], deadline: Deadline) -> Sequence[GeneratedImage]:
        """One image per seed."""
        if self._refuses and self.images:
            raise RuntimeError
        self.images += len(seeds)
        return self._fake.generate(prompt, seeds, deadline)


@pytest.fixture(scope="module")
def bank() -> Bank:
    """A dozen past jobs of four fakes, of two of which the images are the same."""
    embedder, past = FakeEmbedder(), []
    for number in range(12):
        images = {
            fake.source: [each.image for each in fake.generate(f"hat {number}", range(number, number + 4), NEVER)]
            for fake in FAKES
        }
        taps = embed_all(embedder, images["a"][0], images, Method.RESIDUAL).taps
        assert taps is not None
        past.append(past_job(str(number), residuals(taps), {fake.source: "1" for fake in FAKES}))
    return Bank(feature_space(embedder.ref), tuple(past))


NEVER = Deadline.after(3600)


def raced(generators: Sequence[Generator], bank: Bank | None, **more: object) -> Attribution:
    """The method about an image that fake c generated."""
    query: Image.Image = FAKES[2].generate("a hat", (99,), NEVER)[0].image
    return attribute(
        query,
        captioner=FakeCaptioner(),
        generators=generators,
        embedder=FakeEmbedder(),
        distance=distance_named("cosine"),
        prompt="a hat",
        bank=bank,
        **more,  # type: ignore[arg-type]
    )


def test_a_race_has_the_same_winner_with_fewer_images(bank: Bank) -> None:
    """Fakes differ so much that one image each is enough to drop all but one; fixed, each generates four."""
    counting = [Counting(fake) for fake in FAKES]
    answer = raced(counting, bank)
    fixed = raced(FAKES, bank, budget=Budget.FIXED)
    assert [each.images for each in counting] == [1, 1, 4, 1]
    assert answer.race is not None
    assert answer.race.rounds == (RaceRound(1, ("a", "b", "c", "d")), RaceRound(4, ("c",)))
    assert answer.race.end is RaceEnd.ONE_LEFT
    assert fixed.race is None
    assert [len(each.generated_images) for each in fixed.resyntheses] == [4] * 4
    assert answer.ranking.entries[0].source == fixed.ranking.entries[0].source == "c"
    assert sum(entry.probability or 0 for entry in answer.ranking.entries) == pytest.approx(1)


def test_without_past_jobs_only_a_demanded_race_is_run(bank: Bank) -> None:
    """It cannot drop a source: the second round asks for all images, and the answer is that of a fixed budget."""
    assert raced(FAKES, None).race is None
    answer = raced(FAKES, None, budget=Budget.RACING)
    assert answer.race is not None
    assert [each.images for each in answer.race.rounds] == [1, 4]
    assert answer.race.end is RaceEnd.ALL_IMAGES
    fixed = raced(FAKES, None, budget=Budget.FIXED)
    assert [each.source for each in answer.ranking.entries] == [each.source for each in fixed.ranking.entries]
    assert [each.match for each in answer.ranking.entries] == pytest.approx(
        [each.match for each in fixed.ranking.entries], rel=1e-4
    )


def test_a_source_that_fails_later_keeps_what_it_has(bank: Bank) -> None:
    """And is not asked a third time; the others go on."""
    generators: list[Generator] = [Counting(FAKES[0], refuses=True), *FAKES[1:]]
    answer = raced(generators, None, budget=Budget.RACING)
    first = answer.resyntheses[0]
    assert (first.state, len(first.generated_images)) == (SourceState.DONE, 1)
    assert first.reason == "1 of 4 generated images: The source failed unexpectedly."
    assert [len(each.generated_images) for each in answer.resyntheses[1:]] == [4, 4, 4]


def test_a_source_is_asked_for_its_fewest(bank: Bank) -> None:
    """A vendor that bills four at once generates four in the first round."""
    counting = [Counting(fake) for fake in FAKES]
    answer = raced(counting, bank, at_least={"b": 4, "c": 9})
    assert [each.images for each in counting] == [1, 4, 4, 1]
    assert answer.race is not None
    assert answer.race.end is RaceEnd.ONE_LEFT
    assert answer.ranking.entries[0].source == "c"


def test_references_never_race(bank: Bank) -> None:
    """They are there already, and the others generate γ images as ever."""
    given_images = [each.image for each in FAKES[1].generate("a hat", (5, 6), NEVER)]
    answer = raced([FAKES[0], References("b", given_images), FAKES[2]], bank, budget=Budget.RACING)
    assert answer.race is None
    assert [len(each.generated_images) for each in answer.resyntheses] == [4, 2, 4]
