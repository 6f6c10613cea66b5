"""Multipart forms, in chunks of any size."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anyio
import pytest

from app.errors import InvalidRequest, MalformedRequest, UploadTooLarge
from app.intake.multipart import read_reference_form, read_upload
from app.settings import IntakeSettings

HEADERS = {"content-type": "multipart/form-data; boundary=cut"}
IMAGE = bytes(range(256)) * 40 + b"\r\n--cu" + b"\r\n--cutter\r\n\r\n--"
BODY = (
    b'--cut\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n\xc3\xa9t\xc3\xa9\r\n'
    b'--cut\r\nContent-Disposition: form-data; name="image"; filename="x"\r\nContent-Type: image/png\r\n\r\n' + IMAGE +
    b'\r\n--cut\r\ncontent-disposition: form-data; name=seed\r\n\r\n7\r\n--cut--\r\nepilogue'
)  # fmt: skip


def limits(cap: int) -> IntakeSettings:
    """A limit of the image, and the same one of all reference images together."""
    return IntakeSettings(max_bytes=cap, max_reference_bytes=cap)


def read(
    chunks: Iterable[bytes], folder: Path, cap: int = 1_000_000, *, complete: bool = True, into: Any = read_upload
) -> Any:
    """Reads a body that arrives in these chunks, into an empty folder."""
    folder.mkdir(exist_ok=True)
    for each in folder.iterdir():
        each.unlink()
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request"} if complete else {"type": "http.disconnect"})

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    return anyio.run(into, HEADERS, receive, folder, limits(cap))


@pytest.mark.parametrize("size", [3, 7, 64, 1_000, 100_000])
def test_chunks_of_any_size_give_the_same_form(tmp_path: Path, size: int):
    """Boundaries, headers and letters may be split anywhere; bytes of the image that look like a boundary are kept."""
    chunks = [BODY[start : start + size] for start in range(0, len(BODY), size)]
    upload = read(chunks, tmp_path / "upload")
    assert upload.image.read_bytes() == IMAGE
    assert upload.fields == (("prompt", "été"), ("seed", "7"))


def part(name: str, content: bytes) -> bytes:
    """A part of a form that is a file."""
    return b'--cut\r\nContent-Disposition: form-data; name="' + name.encode() + b'"; filename="x"\r\n\r\n' + content


@pytest.mark.parametrize("size", [3, 64, 100_000])
def test_reference_images_are_written_to_files(tmp_path: Path, size: int):
    """They are grouped by source and in their order, wherever the query image is among them."""
    named = [("reference[b]", IMAGE), ("reference[a]", b"2"), ("image", IMAGE[::-1]), ("reference[b]", b"3" * 5_000)]
    body = b"\r\n".join([part(name, content) for name, content in named] + [b"--cut--\r\n"])
    upload = read([body[start : start + size] for start in range(0, len(body), size)], tmp_path / "upload")
    assert upload.image.read_bytes() == IMAGE[::-1]
    references = [(each.source, [file.path.read_bytes() for file in each.files]) for each in upload.references]
    assert references == [("b", [IMAGE, b"3" * 5_000]), ("a", [b"2"])]
    assert [file.size for each in upload.references for file in each.files] == [len(IMAGE), 5_000, 1]
    assert len({file.path for each in upload.references for file in each.files} | {upload.image}) == 4


def test_a_form_of_reference_images_has_nothing_else(tmp_path: Path):
    """They are of one source, which the form does not name."""
    body = part("reference", b"1") + b"\r\n" + part("reference", b"2") + b"\r\n--cut--\r\n"
    uploaded = read([body], tmp_path / "upload", into=read_reference_form)
    assert [file.path.read_bytes() for file in uploaded.files] == [b"1", b"2"]
    with pytest.raises(InvalidRequest):
        read([part("image", b"1") + b"\r\n--cut--\r\n"], tmp_path / "upload", into=read_reference_form)


def test_a_body_cut_off_anywhere_is_malformed(tmp_path: Path):
    """Whether the client disconnected or ended the body there."""
    for end in range(0, BODY.index(b"--cut--"), 997):
        for complete in (True, False):
            with pytest.raises(MalformedRequest):
                read([BODY[:end]], tmp_path / "upload", complete=complete)


def test_nothing_is_written_beyond_the_limit(tmp_path: Path):
    """The chunk that exceeds the limit is the last one that is received."""
    received = 0

    def endless() -> Iterable[bytes]:
        nonlocal received
        yield BODY[: BODY.index(IMAGE)]
        while received < 1_000:
            received += 1
            yield bytes(1_000)

    chunks = iter(endless())

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": next(chunks), "more_body": True}

    with pytest.raises(UploadTooLarge, match="5,000 bytes"):
        anyio.run(read_upload, HEADERS, receive, tmp_path, limits(5_000))
    assert (tmp_path / "0").stat().st_size <= 5_000
    assert received < 10


def test_a_body_of_nothing_but_padding_ends_too(tmp_path: Path):
    """Bytes that are neither image nor option have a limit, too."""
    with pytest.raises(UploadTooLarge):
        read([b"--cut--\r\n", *[bytes(10_000)] * 50], tmp_path / "upload", cap=5_000)
