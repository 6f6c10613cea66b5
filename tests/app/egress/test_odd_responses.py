"""How sites answer in practice: a table of odd responses and addresses, with what is made of each."""

import gzip
import io
import zlib

import pytest

from app.egress import EgressClient
from app.egress.connect import check_url
from app.errors import AddressRefused, FetchFailed
from app.settings import EgressSettings
from tests.app.egress.conftest import MakeClient
from tests.app.egress.site import Site, reply
from tests.app.images import encoded, noise

PNG = encoded(noise(8, 8))
PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in &amp; see\n more</title></head><body></body></html>"
RAW_DEFLATE = zlib.compress(PNG)[2:-4]


def fetched(client: EgressClient, url: str) -> bytes:
    """The content at an address."""
    into = io.BytesIO()
    client.fetch(url, into, max_bytes=100_000)
    return into.getvalue()


@pytest.mark.parametrize(
    ("body", "status", "headers"),
    [
        (PNG, 200, {"content_encoding": ""}),
        (PNG, 200, {"content_encoding": "identity"}),
        (PNG, 200, {"content_encoding": "Identity"}),
        (PNG, 200, {"content_encoding": "UTF-8"}),
        (PNG, 200, {"content_encoding": "aws-chunked"}),
        (PNG, 200, {"content_encoding": "binary"}),
        (PNG, 200, {"content_encoding": "none"}),
        (PNG, 200, {"content_encoding": "identity, aws-chunked"}),
        (gzip.compress(PNG, mtime=0), 200, {"content_encoding": "gzip"}),
        (gzip.compress(PNG, mtime=0), 200, {"content_encoding": "aws-chunked, GZIP"}),
        (PNG, 200, {"content_encoding": "gzip"}),  # a proxy inflated it and left the header
        (zlib.compress(PNG), 200, {"content_encoding": "deflate"}),
        (PNG, 203, {}),
        (PNG, 206, {"content_range": f"bytes 0-{len(PNG) - 1}/{len(PNG)}"}),
        (PNG, 200, {"content_type": "text/html"}),
        (PNG, 200, {"content_type": "application/json"}),
    ],
)
def test_an_image_behind_an_odd_header_is_taken(
    client: EgressClient, site: Site, body: bytes, status: int, headers: dict[str, str]
) -> None:
    """The bytes count, not what a header calls them."""
    site.answers["/"] = reply(body, status, **headers)
    assert fetched(client, site.url()) == PNG


@pytest.mark.parametrize(
    ("body", "status", "headers", "sentence"),
    [
        (PAGE, 200, {}, r"web page.*title is “Sign in & see more”.*address of the image itself"),
        (b"\xef\xbb\xbf  <!-- hi --><HTML><body>no title", 200, {}, "web page, not an image. Give"),
        (b'<?xml version="1.0"?><!DOCTYPE html><html><title>X</title></html>', 200, {}, "title is “X”"),
        (gzip.compress(PAGE, mtime=0), 200, {"content_encoding": "gzip"}, "title is “Sign in"),
        (b'{"error": "hotlinking"}', 200, {"content_type": "application/json"}, "gave JSON, not an image"),
        (b"", 401, {}, "demands a login"),
        (b"", 403, {}, "refuses programs.*upload it.*EGRESS__USER_AGENT"),
        (b"", 404, {}, "nothing at this address"),
        (b"", 410, {}, "removed"),
        (b"", 451, {}, "legal reasons"),
        (PNG, 206, {"content_range": f"bytes 0-{len(PNG) - 1}/{len(PNG) + 1}"}, "a part of the file only"),
        (PNG, 206, {}, "a part of the file only"),
        (gzip.compress(PNG, mtime=0)[:-20], 200, {"content_encoding": "gzip"}, "cut off"),
        (b"\x1f\x8b" + PNG, 200, {"content_encoding": "gzip"}, "broken"),
        (PNG, 200, {"content_encoding": "br"}, r"compressed body \(br\)"),
    ],
)
def test_what_is_no_image_is_named(
    client: EgressClient, site: Site, body: bytes, status: int, headers: dict[str, str], sentence: str
) -> None:
    """Another attempt would have the same response, so the sentence says what to do."""
    site.answers["/"] = reply(body, status, **headers)
    with pytest.raises(FetchFailed, match=sentence):
        fetched(client, site.url())


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/caf%C3%A9.png", "/caf%C3%A9.png"),
        ("/café.png".encode().decode("latin-1"), "/caf%C3%A9.png"),  # UTF-8, as most servers write it
        ("/caf\xe9.png", "/caf%C3%A9.png"),  # Latin-1, as old ones do
        ("/a b.png", "/a%20b.png"),
        (" /c.png ", "/c.png"),
    ],
)
def test_the_target_of_a_redirect_is_encoded_once(client: EgressClient, site: Site, location: str, path: str) -> None:
    """Whatever the server wrote it in."""
    site.answers["/"] = reply(status=302, location=location)
    site.answers[path] = reply(PNG)
    assert fetched(client, site.url()) == PNG


@pytest.mark.parametrize(
    ("address", "normal"),
    [
        (" https://images.example/cat.png", "https://images.example/cat.png"),
        ("https://images.example/cat.png\n", "https://images.example/cat.png"),
        ("\t https://images.example/cat.png \r\n", "https://images.example/cat.png"),
        ("\u3000https://images.example/cat.png\u00a0", "https://images.example/cat.png"),
        ("https://images.example/Straße.png", "https://images.example/Stra%C3%9Fe.png"),
        ("https://images.example/猫.png?q=é", "https://images.example/%E7%8C%AB.png?q=%C3%A9"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("HTTPS://Images.Example/Cat.png#top", "https://images.example/Cat.png"),
    ],
)
def test_addresses_as_people_paste_them(address: str, normal: str) -> None:
    """Blanks around them are no part of them, and other letters are encoded."""
    assert check_url(address, EgressSettings()) == normal


@pytest.mark.parametrize("address", ["https://images.example/a cat.png", "https://images.example/a\u200bcat.png"])
def test_blanks_within_an_address_are_refused(address: str) -> None:
    """Parsers disagree about them; the sentence says how they are written."""
    with pytest.raises(AddressRefused, match="%XX"):
        check_url(address, EgressSettings())


def test_the_default_agent_has_an_address(make_client: MakeClient, site: Site) -> None:
    """Many sites refuse programs whose name has none."""
    fetched(make_client(allow=["127.0.0.1"]), site.url())
    assert "+https://" in site.requests[0].headers["user-agent"]
