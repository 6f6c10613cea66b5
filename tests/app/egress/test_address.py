"""How an address is checked when it is accepted, before anything is resolved."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.egress import check_url
from app.errors import AddressRefused
from app.settings import EgressSettings


@pytest.mark.parametrize(
    ("given_url", "normal"),
    [
        ("http://images.example/cat.png", "http://images.example/cat.png"),
        ("HTTPS://Images.Example:443/Cat.PNG", "https://images.example/Cat.PNG"),
        ("https://images.example", "https://images.example"),
        ("https://images.example./cat.png#top", "https://images.example/cat.png"),
        ("https://images.example:8443/cat?size=1&sig=a%2Fb%3D#", "https://images.example:8443/cat?size=1&sig=a%2Fb%3D"),
        ("https://bücher.example/größe", "https://xn--bcher-kva.example/gr%C3%B6%C3%9Fe"),
        ("https://my_bucket.images.example/", "https://my_bucket.images.example/"),
        ("https://3com.example/", "https://3com.example/"),
        ("https://93.184.215.14/cat.png", "https://93.184.215.14/cat.png"),
        ("https://[2606:2800:21F:CB07:0::1]:8443/", "https://[2606:2800:21f:cb07::1]:8443/"),
        ("https://images.example/@user/cat.png", "https://images.example/@user/cat.png"),
    ],
)
def test_ordinary_urls_are_accepted(given_url: str, normal: str) -> None:
    """In their normal form, which stays as it is when it is checked again."""
    assert check_url(given_url, EgressSettings()) == normal
    assert check_url(normal, EgressSettings()) == normal


@given(st.text(st.sampled_from("htps:/@[]%#?\\.-_ \t0123456789abcdefx\u3002\uff11\u00ad\ud800é"), max_size=60))
def test_any_text_is_accepted_or_refused(text: str) -> None:
    """No text raises another error, and an accepted URL is already in its normal form."""
    for url in (text, f"http://{text}"):
        try:
            normal = check_url(url, EgressSettings())
        except AddressRefused:
            continue
        assert check_url(normal, EgressSettings()) == normal


def test_nothing_is_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """The API process resolves no name."""
    with monkeypatch.context() as without:
        without.delattr(socket, "getaddrinfo")
        assert check_url("http://images.example/", EgressSettings()) == "http://images.example/"


def test_https_can_be_required() -> None:
    """By a setting, of every address."""
    settings = EgressSettings(https_only=True)
    assert check_url("https://images.example/", settings) == "https://images.example/"
    with pytest.raises(AddressRefused, match="must begin with https://"):
        check_url("http://images.example/", settings)


def test_listed_private_addresses_are_accepted() -> None:
    """By network or by address; others are still refused."""
    settings = EgressSettings(allow=("10.1.0.0/16", "fd00::7"))
    assert check_url("http://10.1.2.3/", settings) == "http://10.1.2.3/"
    assert check_url("http://[fd00::7]/", settings) == "http://[fd00::7]/"
    for url in ("http://10.2.0.1/", "http://[fd00::8]/", "http://[::ffff:10.1.2.3]/"):
        with pytest.raises(AddressRefused, match="must be a public one"):
            check_url(url, settings)


@pytest.mark.parametrize("entry", ["http://inside", "10.0.0.0/33", "127.1", "2130706433", "inside:80", "*.inside", ""])
def test_an_invalid_list_is_an_error(entry: str) -> None:
    """An entry that could never match is an error at start."""
    with pytest.raises(ValidationError):
        EgressSettings(allow=(entry,))
