"""The headers Idempotency-Key and Cancel-After: which forms are accepted."""

import re
from datetime import timedelta

import pytest

from app.errors import InvalidRequest, MalformedRequest
from app.intake.submission import DURATION_PATTERN, KEY_PATTERN, read_cancel_after, read_idempotency_key


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ('"8e03978e-40d5"', "8e03978e-40d5"),
        ("8e03978e-40d5", "8e03978e-40d5"),
        ('  "a b"  ', "a b"),
        (r'"say \"hi\" \\ "', r'say "hi" \ '),
        ("a" * 255, "a" * 255),
        ('"' + "a" * 255 + '"', "a" * 255),
    ],
)
def test_a_key_is_the_same_quoted_or_bare(header: str, key: str):
    """As a structured-field string, or without quotation marks as most clients send it."""
    assert read_idempotency_key([header]) == key
    assert re.search(KEY_PATTERN, header.strip())


@pytest.mark.parametrize(
    "headers",
    [[""], ['""'], ['"a'], ['a"'], ["a b"], ["a,b"], [r'"\a"'], ['"é"'], ["é"], ["a" * 256], ['"a"; b=1'], ["a", "a"]],
)
def test_a_malformed_key_is_a_400(headers: list[str]):
    """It is not ignored: the request could then be carried out twice."""
    with pytest.raises(MalformedRequest):
        read_idempotency_key(headers)


def test_the_key_is_optional():
    """Without a header there is no key."""
    assert read_idempotency_key([]) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("90s", 90),
        ("1m", 60),
        ("1h", 3600),
        ("1h30m", 5400),
        ("1h1m1s", 3661),
        ("300", 300),
        ("5s", 5),
        ("24h", 86_400),
    ],
)
def test_durations_are_parsed(header: str, seconds: int):
    """With units from large to small, or as seconds; the documented pattern accepts them, too."""
    assert read_cancel_after(header) == timedelta(seconds=seconds)
    assert re.search(DURATION_PATTERN, header)


@pytest.mark.parametrize(
    "header", ["", "s", "m", "5 m", "1.5h", "-5m", "+60", "1m1h", "90S", "\u0661m", "1d", "PT5M", "5m;"]
)
def test_a_malformed_duration_is_a_422_that_names_the_header(header: str):
    """The documented pattern does not accept it either."""
    with pytest.raises(InvalidRequest) as refused:
        read_cancel_after(header)
    assert refused.value.extensions["errors"][0]["parameter"] == "Cancel-After"
    assert not re.search(DURATION_PATTERN, header)


@pytest.mark.parametrize("header", ["0", "4s", "1000m", "25h", "24h1s", "999999"])
def test_durations_out_of_bounds_are_refused(header: str):
    """The bounds are five seconds and a day."""
    with pytest.raises(InvalidRequest, match="Cancel-After"):
        read_cancel_after(header)


def test_every_number_of_seconds_within_bounds_is_accepted_and_no_other():
    """The pattern has exactly the bounds."""
    accepted = [seconds for seconds in range(100_000) if re.search(DURATION_PATTERN, str(seconds))]
    assert accepted == list(range(5, 86_401))
