"""Prompts are cut to what sources take, between words."""

from hypothesis import given
from hypothesis import strategies as st

from attribution.resynthesis.inputs import fit_prompt

WORDS = st.lists(st.text("abc", min_size=1, max_size=6), min_size=1, max_size=12).map(" ".join)


def test_by_characters() -> None:
    """The words that fit whole, also where the limit falls on a blank; a word that is too long, as far as it goes."""
    assert fit_prompt("a red hat", None) == fit_prompt("a red hat", 9) == "a red hat"
    assert [fit_prompt("a red hat", limit) for limit in (8, 6, 5, 4)] == ["a red", "a red", "a red", "a"]
    assert fit_prompt("lighthouse", 5) == "light"


def test_by_tokens() -> None:
    """The same for what only a tokenizer can count."""
    assert fit_prompt("a red hat", None, lambda text: len(text.split()) <= 2) == "a red"
    assert fit_prompt("a red hat", 5, lambda text: len(text.split()) <= 1) == "a"
    assert fit_prompt("山の上の灯台", None, lambda text: len(text) <= 3) == "山の上"
    assert fit_prompt("lighthouse", None, lambda text: False) == ""


@given(WORDS, st.integers(1, 60), st.integers(1, 12))
def test_it_is_the_longest_beginning_that_fits(prompt: str, limit: int, count: int) -> None:
    """Nothing longer would have done, and what is cut is cut between words wherever one fits."""

    def fits(text: str) -> bool:
        return len(text.split()) <= count

    words = prompt.split(" ")
    beginnings = [" ".join(words[:n]) for n in range(1, len(words) + 1)]
    good = [text for text in beginnings if len(text) <= limit and fits(text)]
    assert fit_prompt(prompt, limit, fits) == (good[-1] if good else prompt[:limit])
