"""Whatever the bytes are: nothing is raised, nothing is large, nothing is unprintable."""

import functools
import json
import random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from attribution.evidence.finding import MAX_BYTES, MAX_TEXT, Finding, Kind, Trust, clean, documents, pairs
from attribution.evidence.read import read
from tests.app.odd import odd_files
from tests.attribution.evidence.files import (
    SOURCE_TYPE,
    animated_comment,
    png_texts,
    with_exif,
    with_iptc,
    with_xmp,
)
from tests.attribution.evidence.signing import Authority
from tests.attribution.evidence.test_parameters import A1111, COMFY

KEYWORDS = ["parameters", "prompt", "workflow", "invokeai_metadata", "sd-metadata", "Dream", "Software", "Comment"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["inputs", "class_type", "model", "image", "seed", "nodes"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


def judge(data: bytes) -> list[dict[str, object]]:
    """Reads, and checks what holds for every file."""
    found = documents(read(data))
    text = json.dumps(found, ensure_ascii=False)
    assert len(text.encode()) <= MAX_BYTES
    assert text.isprintable()
    return found


@functools.cache
def speaking() -> list[bytes]:
    """Files of all kinds that say something."""
    return [
        with_xmp(
            f'Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}trainedAlgorithmicMedia" xmp:CreatorTool="Adobe Firefly"'
        ),
        with_exif({0x131: "Midjourney"}, b"UNICODE\0" + A1111.encode("utf-16-be")),
        with_exif({0x131: "Midjourney"}, b"UNICODE\0" + A1111.encode("utf-16-be"), kind="TIFF"),
        with_exif({0x131: "Midjourney"}, b"ASCII\0\0\0" + A1111.encode(), kind="WEBP"),
        with_iptc({(2, 65): b"Darkroom"}),
        png_texts({"parameters": A1111, "prompt": json.dumps(COMFY)}),
        animated_comment(A1111.encode()),
        Authority().sign(with_exif({0x131: "Midjourney"}), "image/jpeg"),
    ]


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_arbitrary_bytes(data: bytes):
    """No file at all, and files that only begin as one."""
    for head in (b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe1", b"GIF89a", b"II*\0\x08\0\0\0"):
        judge(head + data)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 60))
def test_mutated_files(seed: int, flips: int):
    """Flipped, cut and spliced, mostly in the head, where the statements are."""
    generator = random.Random(seed)
    for whole in speaking():
        data = bytearray(whole)
        for _ in range(flips):
            data[generator.randrange(8, min(len(data), 3_000))] = generator.randrange(256)
        if generator.random() < 0.3:
            del data[generator.randrange(8, len(data)) :]
        judge(bytes(data))


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYWORDS), st.text(max_size=60) | JSON.map(json.dumps), max_size=4))
@example({"prompt": '{"1": {"class_type": "x", "inputs": {"seed": NaN, "steps": Infinity}}}'})
@example({"invokeai_metadata": '{"model": {"name": "\\u0000\\ud800\\u202e"}}'})
def test_arbitrary_texts(texts: dict[str, str]):
    """Under the words that readers look for."""
    chunks = {keyword: text.encode("ascii", "backslashreplace").decode() for keyword, text in texts.items()}
    judge(png_texts(chunks))


def test_odd_files():
    """All that intake is tested with: cut, lying, bombs, impostors."""
    for _, data in odd_files():
        judge(data)


def test_signed_statements_come_first():
    """A reader who looks at one line sees what can be checked."""
    data = Authority().sign(with_exif({0x131: "Midjourney"}), "image/jpeg")
    assert [finding["kind"] for finding in judge(data)] == ["c2pa", "exif"]


def test_a_broken_block_hides_no_other():
    """Broken XMP beside good EXIF."""
    data = with_exif({0x131: "Midjourney"})
    packet = b"http://ns.adobe.com/xap/1.0/\0<broken"
    data = data[:2] + b"\xff\xe1" + (len(packet) + 2).to_bytes(2, "big") + packet + data[2:]
    assert {(finding.kind, finding.trust) for finding in read(data)} == {
        (Kind.XMP, Trust.UNREADABLE),
        (Kind.EXIF, Trust.SELF_DECLARED),
    }


def test_texts_are_printable_lines():
    """What Postgres and terminals refuse is gone, and long texts end in an ellipsis."""
    assert clean("a\0b\nc\u202ed\ud800e") == "a b c d e"
    assert clean("x" * 500) == "x" * (MAX_TEXT - 1) + "…"
    assert [clean(value) for value in (True, None, [1], 7, 2.5, "")] == ["", "", "", "7", "2.5", ""]


def test_documents_are_capped():
    """The first findings are kept, whole."""
    finding = Finding(Kind.XMP, "XMP", "c" * 200, Trust.WEAK, "d" * 200, details=pairs(a="ü" * 100, b="ü" * 100))
    found = documents([finding] * 40)
    assert 5 < len(found) <= 16
    assert len(json.dumps(found, ensure_ascii=False).encode()) <= MAX_BYTES
    assert found[0]["details"] == {"a": "ü" * 100, "b": "ü" * 100}
    assert documents([]) == []
