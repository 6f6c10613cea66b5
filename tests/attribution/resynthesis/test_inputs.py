"""The inputs of generators: prompts are cut between words, and seeds follow from caption, source and revision."""

from hypothesis import given
from hypothesis import strategies as st

from attribution.resynthesis import derive_seeds
from attribution.resynthesis.inputs import fit_prompt

WORDS = st.lists(st.text("abc", min_size=1, max_size=6), min_size=1, max_size=12).map(" ".join)
GOLDEN = (3423466237, 1688470179, 1566993198)
GOLDEN_BASED = (638955876,)


def test_by_characters() -> None:
    """The prompt is cut between words, also at a blank; a single longer word is cut within."""
    assert fit_prompt("a red hat", None) == fit_prompt("a red hat", 9) == "a red hat"
    assert [fit_prompt("a red hat", limit) for limit in (8, 6, 5, 4)] == ["a red", "a red", "a red", "a"]
    assert fit_prompt("lighthouse", 5) == "light"


def test_by_tokens() -> None:
    """The same with a limit that only a tokenizer can count."""
    assert fit_prompt("a red hat", None, lambda text: len(text.split()) <= 2) == "a red"
    assert fit_prompt("a red hat", 5, lambda text: len(text.split()) <= 1) == "a"
    assert fit_prompt("山の上の灯台", None, lambda text: len(text) <= 3) == "山の上"
    assert fit_prompt("lighthouse", None, lambda text: False) == ""


@given(WORDS, st.integers(1, 60), st.integers(1, 12))
def test_it_is_the_longest_beginning_that_fits(prompt: str, limit: int, count: int) -> None:
    """The result is the longest prefix that fits, cut between words if a word fits."""

    def fits(text: str) -> bool:
        return len(text.split()) <= count

    words = prompt.split(" ")
    beginnings = [" ".join(words[:n]) for n in range(1, len(words) + 1)]
    good = [text for text in beginnings if len(text) <= limit and fits(text)]
    assert fit_prompt(prompt, limit, fits) == (good[-1] if good else prompt[:limit])


def test_golden_values() -> None:
    """These seeds must never change, because stored results and caches contain them."""
    assert derive_seeds("a red hat", "zoo-unet", "sha256:abcd", 3, None) == GOLDEN
    assert derive_seeds("ein Gürtel – 帯", "zoo-unet", "sha256:abcd", 1, 7) == GOLDEN_BASED


@given(st.text(), st.text(), st.text(), st.integers(0, 16), st.integers(0, 16), st.none() | st.integers())
def test_asking_for_more_keeps_the_first(
    caption: str, source: str, revision: str, few: int, many: int, base: int | None
) -> None:
    """A larger γ extends a stream, and every seed fits a vendor's 32 bits."""
    shorter, longer = (derive_seeds(caption, source, revision, n, base) for n in sorted((few, many)))
    assert longer[: len(shorter)] == shorter
    assert all(0 <= seed < 2**32 for seed in longer)


def test_everything_in_the_question_counts() -> None:
    """Caption, source, revision and base each open another stream, and no two fields run together."""
    questions = [("a", "b", "c", None), ("a", "bc", "", None), ("ab", "", "c", None), ("a", "b", "c", 0)]
    assert len({derive_seeds(caption, source, rev, 1, base) for caption, source, rev, base in questions}) == 4
