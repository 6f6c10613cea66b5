"""What a caller prefers: the `Prefer` header (RFC 7240), of which `wait` and `respond-async` are understood here.

As the RFC has it, a preference is never an error: what is unknown or makes no sense is ignored, the first of several
counts, and what was honored is said in `Preference-Applied`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

LONGEST_WAIT = 60

_CHARACTERS = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_WORD = rf'(?:{_CHARACTERS}|"(?:[^"\\]|\\.)*")'
_PAIR = rf"({_CHARACTERS})(?:[ \t]*=[ \t]*({_WORD})?)?"
_PREFERENCE = re.compile(rf"{_PAIR}(?:[ \t]*;[ \t]*(?:{_PAIR})?)*[ \t]*")
_SECONDS = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Preferences:
    """How long the caller would wait for an end, in seconds, and whether it minds getting 202."""

    wait: int | None = None
    respond_async: bool = False


def read_preferences(headers: Iterable[str]) -> Preferences:
    """Of all `Prefer` headers of a request. A wait longer than the longest is cut down to it."""
    given: dict[str, str] = {}
    for header in headers:
        for name, value in _preferences(header):
            given.setdefault(name, value)
    return Preferences(wait=_wait(given.get("wait")), respond_async=given.get("respond-async") == "")


def _preferences(header: str) -> Iterable[tuple[str, str]]:
    """Name and value of each, up to where the header cannot be understood. No value is the empty one."""
    at = 0
    while at < len(header):
        if header[at] in ", \t":  # a list may have empty members
            at += 1
            continue
        found = _PREFERENCE.match(header, at)
        if found is None or (found.end() < len(header) and header[found.end()] != ","):
            return
        yield found[1].lower(), _unquoted(found[2] or "")
        at = found.end()


def _unquoted(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word[1:-1]) if word.startswith('"') else word


def _wait(value: str | None) -> int | None:
    if value == "":
        return LONGEST_WAIT
    if value is None or not _SECONDS.fullmatch(value):
        return None
    return min(int(value), LONGEST_WAIT) or None
