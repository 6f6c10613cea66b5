"""The Prefer header, by the grammar of RFC 7240."""

import pytest

from app.api.long_polling import Preferences, read_preferences


@pytest.mark.parametrize(
    ("headers", "wait", "respond_async"),
    [
        ([], None, False),
        ([""], None, False),
        (["wait=10"], 10, False),
        (["wait"], 60, False),
        (["wait="], 60, False),
        (['wait=""'], 60, False),
        (['wait="10"'], 10, False),
        (['wait="1\\0"'], 10, False),
        (["WAIT = 10"], 10, False),
        (["wait=1"], 1, False),
        (["wait=60"], 60, False),
        (["wait=61"], 60, False),
        (["wait=999999999"], 60, False),
        (["wait=9999999999999999999999"], None, False),
        (["wait=0"], None, False),
        (["wait=-1"], None, False),
        (["wait=1.5"], None, False),
        (["wait=ten"], None, False),
        (["wait=٣"], None, False),
        (["wait=10, wait=20"], 10, False),
        (["wait=nonsense, wait=20"], None, False),
        (["wait=10", "wait=20"], 10, False),
        (["respond-async"], None, True),
        (["respond-async=yes"], None, False),
        (["respond-async, wait=10"], 10, True),
        (["wait=10,respond-async"], 10, True),
        (["respond-async", "wait=10"], 10, True),
        (['return=minimal, wait=10; strict; x="a, b" , handling=lenient'], 10, False),
        (['foo="a, wait=5", wait=10'], 10, False),
        ([" ,, wait=10 ,"], 10, False),
        (["foo; bar=1;;baz, wait=10"], 10, False),
        (["waiting=10"], None, False),
        (['foo="unclosed, wait=10'], None, False),
        (["wait=10, foo=]"], 10, False),
        (["(wait=10)"], None, False),
    ],
)
def test_preferences_are_read(headers: list[str], wait: int | None, respond_async: bool):
    """Lists, several headers, quotes and parameters are read; what makes no sense is no preference."""
    assert read_preferences(headers) == Preferences(wait, respond_async)


def test_a_long_header_takes_no_time():
    """Nothing in the grammar makes the reader go back over what it has read."""
    for header in ("a=" + " " * 60_000, "a;" * 30_000, 'a="' + "\\x" * 30_000, "," * 60_000, "a " * 30_000):
        read_preferences([header])
