"""Text rules: what their patterns may be, and whether a text meets one. Where they are kept is not known here."""

import unicodedata
from collections.abc import Callable
from enum import StrEnum

import re2

from app.errors import InvalidRequest

MAX_PATTERN = 4_000

# RE2 takes time linear in the text, times the size of the compiled pattern; this bounds that size. The slowest pattern
# that we found took 0.1 s for the longest prompt, 2,000 characters.
_MAX_MEMORY = 256 * 1024
# Letters, digits and the marks that vowels are in many scripts, which Python's \w would take for the ends of words.
_WORD = re2.compile(r"[\pL\pM\pN_]+")


class RuleKind(StrEnum):
    """How a pattern is understood."""

    WORDS = "words"  # a word or phrase per line: whole words, in any case
    REGEX = "regex"  # as RE2 has it, case included unless it says (?i)


Judge = Callable[[str], bool]


def compile_rule(kind: str, pattern: str) -> Judge:
    """A function that says whether a text meets the rule. Raises InvalidRequest, with a sentence."""
    if not 1 <= len(pattern) <= MAX_PATTERN or "\0" in pattern:
        raise _invalid(f"must have from 1 to {MAX_PATTERN:,} characters, none of them NUL")
    if kind == RuleKind.WORDS:
        return _words(pattern)
    if kind == RuleKind.REGEX:
        return _regex(pattern)
    raise InvalidRequest(f"The kind of a rule is one of {', '.join(RuleKind)}.")


def _words(pattern: str) -> Judge:
    phrases = [phrase for line in pattern.splitlines() if (phrase := _folded(line)).strip()]
    if not phrases:
        raise _invalid("must have a word or phrase on a line of its own")
    return lambda text: any(phrase in folded for folded in (_folded(text),) for phrase in phrases)


def _folded(text: str) -> str:
    """The words of a text, each between spaces: in one case, without what is invisible, in one of several spellings."""
    visible = "".join(character for character in text if unicodedata.category(character) != "Cf")
    normal = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", visible).casefold())
    return f" {' '.join(_WORD.findall(normal))} "


def _regex(pattern: str) -> Judge:
    options = re2.Options()
    options.max_mem = _MAX_MEMORY
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if error.args else "it cannot be compiled"
        raise _invalid(f"must be a regular expression that RE2 takes ({reason})") from error
    return lambda text: compiled.search(text) is not None


def _invalid(reason: str) -> InvalidRequest:
    return InvalidRequest(
        f"The pattern cannot be taken: it {reason}.", errors=[{"detail": reason, "pointer": "#/pattern"}]
    )
