"""JSON is parsed strictly: what is accepted, and what is refused with which reason."""

import json

import pytest

from app.intake.json_body import MAX_DEPTH, parse


@pytest.mark.parametrize("text", ['{"a": [1, 2.5, "é", null, true]}', '"\\u00e9\\ud83d\\ude00"', "-0", "1e300", "[]"])
def test_json_is_parsed_as_json(text: str):
    """The values are those of Python's own parser."""
    assert parse(text) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("{", "line 1"),
        ("{}{}", "Extra data"),
        ("\ufeff{}", "BOM"),
        ("NaN", "NaN is not a number in JSON"),
        ("[-Infinity]", "Infinity"),
        ("1e999", "too large"),
        ("9" * 5_000, "digits"),
        ('{"a": 1, "a": 2}', "same name"),
        ('{"a": {"b": 1, "b": 1}}', "same name"),
        ('"\\u0000"', "NUL"),
        ('{"\\u0000": 1}', "NUL"),
        ('"\\ud800"', "surrogate"),
        ('{"\\udfff": 1}', "surrogate"),
        ('"a\nb"', "control character"),
        ("[" * 100_000 + "]" * 100_000, "nested"),
        ('{"a":' * 100_000, "nested"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nested"),
    ],
)
def test_a_refusal_has_a_reason(text: str, reason: str):
    """It is always a ValueError, and never repeats a part of the text."""
    with pytest.raises(ValueError, match=reason) as refused:
        parse(text)
    assert len(str(refused.value)) < 150


def test_nesting_is_accepted_up_to_its_limit():
    """The limit itself is accepted."""
    assert parse("[" * MAX_DEPTH + "]" * MAX_DEPTH) is not None
