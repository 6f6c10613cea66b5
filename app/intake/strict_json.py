"""JSON as callers send it, read strictly: refused is what parsers disagree about, and what Postgres cannot keep.

Imports nothing of the service: decoding children use it, too.
"""

import json
import math
from collections.abc import Iterable
from typing import Any

MAX_DEPTH = 32
_MAX_DIGITS = 40


def parse(text: str) -> Any:
    """The value of a JSON text. Raises ValueError with a sentence that does not repeat the text."""
    try:
        value = json.loads(
            text, object_pairs_hook=_members, parse_constant=_constant, parse_float=_fraction, parse_int=_whole
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg}, in line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise ValueError(f"It is nested more than {MAX_DEPTH} levels deep.") from None
    _check(value)
    return value


def _members(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise ValueError("An object has two members of the same name.")
        members[name] = value
    return members


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number that JSON knows.")


def _fraction(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("A number is too large.")
    return number


def _whole(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"A whole number has more than {_MAX_DIGITS} digits.")
    return int(text)


def _check(value: Any) -> None:
    rest = [(value, 1)]
    while rest:
        each, depth = rest.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"It is nested more than {MAX_DEPTH} levels deep.")
        if isinstance(each, str):
            _check_text(each)
        elif isinstance(each, dict):
            for name in each:
                _check_text(name)
            rest += [(member, depth + 1) for member in each.values()]
        elif isinstance(each, list):
            rest += [(member, depth + 1) for member in each]


def _check_text(text: str) -> None:
    if "\0" in text:
        raise ValueError("A text contains the character NUL.")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("A text contains half of a surrogate pair.")
