"""EXIF's structure and encodings: what Pillow would lose, and what is broken."""

import struct

import pytest

from attribution.evidence.exif import exif_tags, utf16
from attribution.evidence.finding import Kind, Trust
from attribution.evidence.read import read
from tests.attribution.evidence.files import exif_block, with_exif_block

TEXT = "Café 雨の灯台"


@pytest.mark.parametrize("order", ["MM", "II"])
@pytest.mark.parametrize(
    ("code", "encoded"),
    [
        (b"ASCII\0\0\0", TEXT.encode()),
        (bytes(8), TEXT.encode()),
        (b"UNICODE\0", TEXT.encode("utf-16-be")),
        (b"UNICODE\0", TEXT.encode("utf-16-le")),
        (b"UNICODE\0", TEXT.encode("utf-16")),
        (b"UNICODE\0", TEXT.encode()),
        (b"UNICODE\0", TEXT.encode() + b"\0"),
        (b"JIS\0\0\0\0\0", "雨の灯台".encode("iso2022_jp")),
        (b"ASCII\0\0\0", "Café".encode("latin-1")),
    ],
)
def test_a_user_comment_in_every_encoding(order: str, code: bytes, encoded: bytes) -> None:
    """Whatever the file's byte order."""
    assert exif_tags(exif_block({}, code + encoded, order))["UserComment"] in (TEXT, "雨の灯台", "Café")


@pytest.mark.parametrize("order", ["MM", "II"])
def test_text_without_zeros_is_in_the_files_byte_order(order: str) -> None:
    """UTF-16 of Chinese text alone does not show its order."""
    text = "灯台守的肖像黄色雨衣"
    data = text.encode("utf-16-be" if order == "MM" else "utf-16-le")
    assert utf16(data, "big" if order == "MM" else "little") == text


def test_utf_8_in_ascii_tags() -> None:
    """The specification has no letters beyond ASCII there; programs write UTF-8."""
    tags = exif_tags(exif_block({0x10E: TEXT.encode(), 0x131: b"Darkroom\0", 0x9C9B: "Titel 雨".encode("utf-16-le")}))
    assert tags == {"ImageDescription": TEXT, "Software": "Darkroom", "XPTitle": "Titel 雨"}


def test_the_type_for_utf_8_is_read() -> None:
    """EXIF 3 added a type for texts in UTF-8."""
    block = exif_block({0x131: TEXT.encode()}).replace(struct.pack(">HH", 0x131, 2), struct.pack(">HH", 0x131, 129))
    assert exif_tags(block) == {"Software": TEXT}


@pytest.mark.parametrize("block", [b"Exif\0\0", b"MM\0*", b"II*\0\xff\xff\0\0", bytes(40)])
def test_broken_exif_is_unreadable(block: bytes) -> None:
    """There is something, and it is not EXIF."""
    (finding,) = read(with_exif_block(block, "PNG"))
    assert (finding.kind, finding.trust) == (Kind.EXIF, Trust.UNREADABLE)


def test_a_directory_within_itself_ends() -> None:
    """The pointer to the inner directory leads to the outer one."""
    block = exif_block({0x131: b"Darkroom"}, b"ASCII\0\0\0text")
    at = block.index(struct.pack(">H", 0x8769))
    loop = block[: at + 8] + struct.pack(">I", 8) + block[at + 12 :]
    assert exif_tags(loop) == {"Software": "Darkroom"}
