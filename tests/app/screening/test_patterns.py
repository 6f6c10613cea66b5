"""What text rules find and what they do not, and that no pattern can keep a worker busy."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidRequest
from app.screening.patterns import MAX_PATTERN, RuleKind, compile_rule


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("knife", "A KNIFE."),
        ("Straße", "in der STRASSE"),
        ("strasse", "Straße"),
        ("kitchen knife", "a Kitchen\n  knife, sharp"),
        ("gun\nknife", "a knife"),
        ("knife", "ｋｎｉｆｅ"),  # noqa: RUF001 - full width
        ("knife", "kn\u00adi\u200bfe"),
        ("café", "cafe\u0301"),
        ("it's", "it's"),
        ("नमस्ते", "वह नमस्ते कहती है"),
    ],
)
def test_words_are_found(pattern: str, text: str) -> None:
    """In any case and spelling, with invisible characters inside, over line breaks and punctuation."""
    assert compile_rule("words", pattern)(text)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("ass", "a bass in glass"),
        ("kitchen knife", "a knife in the kitchen"),
        ("kitchen knife", "the kitchen"),
        ("क", "की"),
        ("knife", ""),
    ],
)
def test_parts_of_words_are_not(pattern: str, text: str) -> None:
    """A rule for a word leaves longer words alone, marks included."""
    assert not compile_rule("words", pattern)(text)


@given(st.text(), st.text(alphabet="abc ", min_size=1).filter(str.strip), st.text())
def test_a_phrase_is_found_wherever_it_stands(before: str, phrase: str, after: str) -> None:
    """Whatever is around it, as long as there is something between."""
    assert compile_rule("words", phrase)(f"{before}\n{phrase.upper()}\n{after}")


def test_a_regex_is_as_re2_has_it() -> None:
    """Found anywhere, and in this very case unless it says otherwise."""
    assert compile_rule("regex", r"kn[i1]fe")("a pen-kn1fe")
    assert not compile_rule("regex", "knife")("KNIFE")
    assert compile_rule("regex", "(?i)knife")("KNIFE")
    assert not compile_rule("regex", r"^a\b.*boat$")("a boat, red")


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(a|a?)+$", "(.*a){20}$", "(x+x+)+y", "a{0,900}a{900}$"])
def test_no_pattern_takes_for_ever(pattern: str) -> None:
    """Those that keep a backtracking matcher busy until the sun is cold are judged at once."""
    meets = compile_rule("regex", pattern)
    began = time.perf_counter()
    meets("a" * 2_000 + "x" * 2_000 + "!")
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize(
    ("kind", "pattern", "said"),
    [
        ("regex", "(", "missing )"),
        ("regex", r"(a)\1", "invalid escape sequence"),
        ("regex", "(?=a)", "invalid perl operator"),
        ("regex", "((a{100}){100}){100}", "RE2"),
        ("regex", r"(\pL{100}){9}", "too large"),
        ("regex", "", "characters"),
        ("regex", "a" * (MAX_PATTERN + 1), "characters"),
        ("words", "a\0b", "NUL"),
        ("words", "\n \n", "word or phrase"),
        ("words", "!?", "word or phrase"),
        ("poem", "roses", "words, regex"),
    ],
)
def test_what_cannot_be_a_rule_is_refused_with_a_reason(kind: str, pattern: str, said: str) -> None:
    """When it is added, not when it is needed."""
    with pytest.raises(InvalidRequest) as refused:
        compile_rule(kind, pattern)
    assert said in refused.value.detail


@given(st.sampled_from(list(RuleKind)), st.text(max_size=40), st.text())
def test_any_text_is_a_rule_or_is_refused(kind: RuleKind, pattern: str, text: str) -> None:
    """Nothing that can be typed raises anything else."""
    try:
        meets = compile_rule(kind, pattern)
    except InvalidRequest:
        return
    assert meets(text) in (True, False)
