"""Reads a multipart form as it arrives: images into files, options into memory, each up to its limit.

Starlette's own parser would put an image into a nameless file, which a decoding child cannot open, and would report
an unknown field or a second image only after it had read everything.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.types import Receive

from app.errors import InvalidRequest, MalformedRequest, UnsupportedMediaType, UploadTooLarge
from app.intake.json_body import IMAGE_URL
from app.intake.options import FIELDS, mistake
from app.intake.reference_images import UploadedReference, too_large, too_large_together, too_many
from app.intake.request_body import receive_body
from app.intake.spool import ImageFile, write_all
from app.settings import IntakeSettings
from attribution.ports import MOST_REFERENCES

IMAGE_FIELD = "image"
REFERENCE_FIELD = "reference"
# Boundaries, part headers and options together.
_MAX_OVERHEAD = 128 * 1024
_MAX_FIELD = 16 * 1024
# Content-Transfer-Encoding, which HTTP does not need and mail libraries write.
_PLAIN = ("", "binary", "8bit", "7bit", "identity")
_DECODERS: Mapping[str, Callable[[bytes], bytes]] = {
    "base64": lambda data: base64.b64decode(data.translate(None, b" \t\r\n"), validate=True),
    "quoted-printable": binascii.a2b_qp,
}
_REFERENCE_OF = re.compile(rf"{REFERENCE_FIELD}\[(.*)\]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Upload:
    """A complete form: the paths of its images, and its options as (name, text) in the order sent."""

    image: Path
    fields: tuple[tuple[str, str], ...]
    references: tuple[UploadedReference, ...] = ()


async def read_upload(headers: Mapping[str, str], receive: Receive, folder: Path, limits: IntakeSettings) -> Upload:
    """Writes the image, and the reference images that come with it, into the folder, up to their limits.

    Raises UnsupportedMediaType, MalformedRequest, UploadTooLarge or InvalidRequest as soon as the error is known.
    """
    form = _Form(folder, limits, (IMAGE_FIELD, f"{REFERENCE_FIELD}[SOURCE]", *FIELDS))
    refusal = UploadTooLarge(
        f"The image may have at most {limits.max_bytes:,} bytes, and all reference images together "
        f"{limits.max_reference_bytes:,}.",
        max_bytes=limits.max_bytes,
    )
    await _read(headers, receive, form, limits.max_bytes + limits.max_reference_bytes, refusal)
    if form.image is None:
        raise InvalidRequest(
            "An image is needed.",
            errors=[{"detail": "Send the image as the file field `image`.", "pointer": f"#/{IMAGE_FIELD}"}],
        )
    references = (
        UploadedReference(source, tuple(files), (f"{REFERENCE_FIELD}[{source}]",))
        for source, files in form.references.items()
    )
    return Upload(form.image.path, tuple(form.fields), tuple(references))


async def read_reference_form(
    headers: Mapping[str, str], receive: Receive, folder: Path, limits: IntakeSettings
) -> UploadedReference:
    """Writes the reference images of one source, and nothing else, into the folder. Raises as `read_upload` does."""
    form = _Form(folder, limits, (REFERENCE_FIELD,))
    refusal = too_large_together(limits.max_reference_bytes)
    await _read(headers, receive, form, limits.max_reference_bytes, refusal)
    files = form.references.get("", ())
    if not files:
        detail = f"Send 1 to {MOST_REFERENCES} reference images as file fields `{REFERENCE_FIELD}`."
        raise _invalid(REFERENCE_FIELD, detail)
    return UploadedReference("", tuple(files), (REFERENCE_FIELD,))


async def _read(
    headers: Mapping[str, str], receive: Receive, form: "_Form", max_bytes: int, refusal: UploadTooLarge
) -> None:
    parser, preamble = _parser(headers.get("content-type", ""), form)
    try:
        await receive_body(
            headers,
            receive,
            max_bytes + _MAX_OVERHEAD,
            refusal,
            lambda chunk: _feed(parser, preamble.without(chunk)),
            form.limits,
        )
    finally:
        form.close()
    if not form.complete:
        raise MalformedRequest("The multipart body ends before its closing boundary.")


def _feed(parser: MultipartParser, chunk: bytes) -> None:
    try:
        parser.write(chunk)
    except FormParserError as error:
        raise MalformedRequest("The multipart body is broken: its parts cannot be separated.") from error


@dataclass(slots=True)
class _Preamble:
    """Drops what a body has before its first boundary, which mail programs fill with text (RFC 2046, 5.1.1)."""

    boundary: bytes
    _kept: bytes = b""
    _over: bool = False

    def without(self, chunk: bytes) -> bytes:
        """The part of the chunk, and of what was kept before it, from the first boundary on."""
        if self._over:
            return chunk
        self._kept += chunk
        at = 0 if self._kept.startswith(self.boundary) else self._kept.find(b"\n" + self.boundary) + 1
        if at or self._kept.startswith(self.boundary):
            self._over = True
            return self._kept[at:]
        if len(self._kept) > _MAX_OVERHEAD:
            raise MalformedRequest("The multipart body does not contain the boundary that the Content-Type names.")
        return b""


@dataclass(slots=True)
class _Form:
    """Collects the parts of a form from the parser's callbacks."""

    folder: Path
    limits: IntakeSettings
    known: Sequence[str]
    fields: list[tuple[str, str]] = field(default_factory=list)
    image: ImageFile | None = None
    references: dict[str, list[ImageFile]] = field(default_factory=dict)
    complete: bool = False
    _name: str = ""
    _source: str | None = None
    _file: BinaryIO | None = None
    _path: Path = field(default_factory=Path)
    _size: int = 0
    _files: int = 0
    _reference_bytes: int = 0
    _text: bytearray = field(default_factory=bytearray)
    _header: bytearray = field(default_factory=bytearray)
    _value: bytearray = field(default_factory=bytearray)
    _disposition: bytes = b""
    _encoding: str = ""

    def on_part_begin(self) -> None:
        self._disposition, self._encoding = b"", ""
        self._text = bytearray()

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        elif self._header.lower() == b"content-transfer-encoding":
            self._encoding = self._value.decode("latin-1").strip().lower()
        self._header, self._value = bytearray(), bytearray()

    def on_headers_finished(self) -> None:
        _, parameters = parse_options_header(self._disposition)
        if b"name" not in parameters:
            raise MalformedRequest("A part of the form has no name.")
        self._name = parameters[b"name"].decode(errors="replace")
        if self._encoding not in (*_DECODERS, *_PLAIN):
            raise _invalid(self._name, "Its Content-Transfer-Encoding is unknown; send binary, or base64.")
        self._source = self._source_of(self._name)
        if self._name == IMAGE_FIELD and IMAGE_FIELD in self.known:
            if self.image is not None:
                raise _invalid(self._name, "Send one image; a second one was found.")
            self._open()
        elif self._source is not None:
            files = self.references.setdefault(self._source, [])
            if len(files) == MOST_REFERENCES:
                raise _invalid(self._name, f"Send at most {MOST_REFERENCES} reference images of a source.")
            if sum(map(len, self.references.values())) == self.limits.max_references:
                raise too_many(self._name, self.limits.max_references)
            self._open()
        elif self._name == IMAGE_URL and IMAGE_FIELD in self.known:
            raise _invalid(self._name, 'Send an address as JSON: {"image_url": "https://…"}.')
        elif self._name not in self.known:
            raise _invalid(self._name, f"There is no such field; the fields are {', '.join(self.known)}.")

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is None:
            self._text += data[start:end]
            if len(self._text) > _MAX_FIELD:
                raise _invalid(self._name, f"The text is longer than {_MAX_FIELD:,} bytes.")
            return
        self._size += end - start
        if self._size > self.limits.max_bytes:
            raise too_large(self.limits.max_bytes)
        if self._source is not None:
            self._reference_bytes += end - start
            if self._reference_bytes > self.limits.max_reference_bytes:
                raise too_large_together(self.limits.max_reference_bytes)
        # 64 kB into the page cache take 20 µs; a thread would take longer and keep the chunk meanwhile.
        write_all(self._file, memoryview(data)[start:end])

    def on_part_end(self) -> None:
        decode = _DECODERS.get(self._encoding)
        if self._file is not None:
            self.close()
            if decode is not None:
                self._size = self._path.write_bytes(self._decoded(decode, self._path.read_bytes()))
            file = ImageFile(self._path, self._size)
            if self._source is None:
                self.image = file
            else:
                self.references[self._source].append(file)
            return
        text = bytes(self._text) if decode is None else self._decoded(decode, bytes(self._text))
        try:
            self.fields.append((self._name, text.decode()))
        except UnicodeDecodeError as error:
            raise _invalid(self._name, "The text is not UTF-8.") from error

    def _decoded(self, decode: Callable[[bytes], bytes], data: bytes) -> bytes:
        try:
            return decode(data)
        except binascii.Error as error:
            raise _invalid(self._name, f"It is not in {self._encoding}, as its header says.") from error

    def on_end(self) -> None:
        self.complete = True

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> None:
        self._path = self.folder / str(self._files)
        self._files, self._size = self._files + 1, 0
        self._file = self._path.open("wb", buffering=0)

    def _source_of(self, name: str) -> str | None:
        """The source of a field's reference image; "" in a form for one source, None for other fields."""
        if REFERENCE_FIELD in self.known:
            return "" if name == REFERENCE_FIELD else None
        found = _REFERENCE_OF.fullmatch(name)
        return found[1] if found else None


def _parser(content_type: str, form: _Form) -> tuple[MultipartParser, _Preamble]:
    kind, parameters = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        file = IMAGE_FIELD if IMAGE_FIELD in form.known else REFERENCE_FIELD
        raise UnsupportedMediaType(f"Send multipart/form-data with the file field `{file}`, or application/json.")
    boundary = parameters.get(b"boundary")
    if not boundary:
        raise MalformedRequest("The Content-Type has no boundary.")
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": form.on_part_begin,
                "on_part_data": form.on_part_data,
                "on_part_end": form.on_part_end,
                "on_header_field": form.on_header_field,
                "on_header_value": form.on_header_value,
                "on_header_end": form.on_header_end,
                "on_headers_finished": form.on_headers_finished,
                "on_end": form.on_end,
            },
        )
    except FormParserError as error:
        raise MalformedRequest("The boundary in the Content-Type cannot be used.") from error
    return parser, _Preamble(b"--" + boundary)


def _invalid(name: str, detail: str) -> InvalidRequest:
    return InvalidRequest(f"The field `{name}` is not valid.", errors=[mistake(name, detail)])
