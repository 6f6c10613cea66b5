"""The format of a key."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.access.key_repository import digest_of, make_key


def test_a_key_is_stored_as_its_hash():
    """Its prefix is its beginning, its digest is plain SHA-256, and no two are alike."""
    keys = [make_key() for _ in range(200)]
    assert len({key.text for key in keys}) == len({key.sha256 for key in keys}) == 200
    for key in keys:
        assert key.text.startswith(key.prefix + "_")
        assert key.sha256 == digest_of(key.text) == hashlib.sha256(key.text.encode()).hexdigest()
        assert len(key.text) == len("wd_") + 8 + len("_") + 43 + 6


@given(st.integers(0, 59), st.sampled_from("0Aaz_-é"))
def test_a_key_with_one_other_character_is_no_key(position: int, character: str):
    """The checksum refuses it without a query."""
    text = make_key().text
    other = text[:position] + character + text[position + 1 :]
    assert (digest_of(other) is None) == (other != text)


@pytest.mark.parametrize(
    "change", [str.lower, str.upper, lambda text: text + "\n", lambda text: " " + text, lambda _: ""]
)
def test_another_spelling_is_no_key(change):
    """Case and white space count."""
    assert digest_of(change(make_key().text)) is None
