"""What a response to a fetch contains: whether its status, its encoding and its first bytes are those of an image.

Servers label plain bytes with names that are no content encodings, and send pages with the status of an image. Each of
the sentences here says what the caller, or the operator, can do.
"""

import html
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping

from app.errors import AddressUnavailable, FetchFailed

# What servers write where the bytes are as they are. `aws-chunked` is how an object was uploaded.
_NO_ENCODING = {"", "identity", "none", "null", "binary", "raw", "plain", "utf-8", "utf8", "ascii", "us-ascii",
    "iso-8859-1", "7bit", "8bit", "base", "aws-chunked", "chunked"}  # fmt: skip
_GZIP = {"gzip", "x-gzip"}
_GZIP_MAGIC = b"\x1f\x8b"
_PIECE = 64 * 1024
# Of the beginning, in which a page's title is searched.
HEAD_BYTES = 16 * 1024
_PAGE = re.compile(
    rb"^(?:\xef\xbb\xbf|\s|<!--.{0,2000}?-->|<\?xml[^>]{0,200}>)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S
)
_TITLE = re.compile(r"<title[^>]{0,200}>([^<]{1,500})", re.IGNORECASE)
_MAX_TITLE = 120
# Statuses after which the same request may succeed later; and all from 500 on.
_TRANSIENT = (408, 425, 429)
_REFUSALS = {
    401: "The site demands a login (status 401). Download the image and upload it instead.",
    403: "The site refuses programs (status 403). Download the image and upload it instead; or the operator of this "
    "service names it to the site with another user agent, in the setting EGRESS__USER_AGENT.",
    404: "The site has nothing at this address (status 404). Check the address.",
    410: "The site has removed what was at this address (status 410).",
    451: "The site withholds the image for legal reasons (status 451).",
}


def check_status(status: int, headers: Mapping[str, str]) -> None:
    """Raises AddressUnavailable for a status that may be another one later, FetchFailed for other ones without image.

    203 comes from proxies that changed a header, and 206 from servers that answer every request with a range.
    """
    if status in _TRANSIENT or status >= 500:
        raise AddressUnavailable(f"The address responded with status {status}.")
    if status in (200, 203) or (status == 206 and _is_whole(headers.get("content-range", ""))):
        return
    if status == 206:
        raise FetchFailed("The address responded with a part of the file only (status 206).")
    raise FetchFailed(_REFUSALS.get(status, f"The address responded with status {status} instead of an image."))


def decode(chunks: Iterable[bytes], headers: Mapping[str, str]) -> Iterator[bytes]:
    """The content in pieces, without its content encoding. gzip and deflate are undone; others raise FetchFailed.

    An encoding that the bytes do not have is ignored.
    """
    named = [name.strip().lower() for name in headers.get("content-encoding", "").split(",")]
    encodings = [name for name in named if name not in _NO_ENCODING]
    if not encodings:
        yield from chunks
    elif len(encodings) == 1 and encodings[0] in _GZIP:
        yield from _inflate(chunks, zlib.MAX_WBITS | 16, _GZIP_MAGIC)
    elif encodings == ["deflate"]:
        yield from _inflate(chunks, zlib.MAX_WBITS, b"\x78")
    else:
        raise FetchFailed(
            f"The address responded with a compressed body ({', '.join(encodings)[:60]}) although none was requested."
        )


def refuse_page(head: bytes, media_type: str) -> None:
    """Raises FetchFailed where the content is a web page or JSON; the sentence has the page's title."""
    if _PAGE.match(head):
        found = _TITLE.search(head.decode("utf-8", "replace"))
        text = " ".join(html.unescape(found[1]).split()) if found else ""
        title = "".join(letter for letter in text if letter.isprintable())[:_MAX_TITLE]
        raise FetchFailed(
            "The address gave a web page, not an image"
            + (f"; its title is “{title}”. " if title else ". ")
            + "Give the address of the image itself: in a browser, open the image in a new tab and copy that address."
        )
    if media_type in ("application/json", "text/json") and head.lstrip()[:1] in (b"{", b"["):
        raise FetchFailed("The address gave JSON, not an image. Give the address of the image itself.")


def header_text(name: bytes, value: bytes) -> str:
    """A header's value. Addresses are written in UTF-8 by many servers, and would be encoded twice as Latin-1."""
    if name.lower() == b"location":
        try:
            return value.decode()
        except UnicodeDecodeError:
            pass
    return value.decode("latin-1")


def _is_whole(content_range: str) -> bool:
    found = re.fullmatch(r"bytes 0-(\d{1,18})/(\d{1,18})", content_range.strip().lower())
    return found is not None and int(found[1]) + 1 == int(found[2])


def _inflate(chunks: Iterable[bytes], wbits: int, magic: bytes) -> Iterator[bytes]:
    inflater = None
    try:
        for number, chunk in enumerate(chunks):
            if number == 0 and not chunk.startswith(magic):
                yield chunk
                yield from chunks
                return
            inflater = inflater or zlib.decompressobj(wbits)
            while chunk and not inflater.eof:  # a few compressed kilobytes can be gigabytes
                yield inflater.decompress(chunk, _PIECE)
                chunk = inflater.unconsumed_tail
    except zlib.error:
        raise FetchFailed("The address responded with a compressed body that is broken.") from None
    if inflater is not None and not inflater.eof:
        raise FetchFailed("The address responded with a compressed body that is cut off.")
