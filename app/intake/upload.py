"""Reads a multipart form as it arrives: the image into a file, the options into memory, each up to its cap.

Starlette's own parser would put the image into a nameless spool, which a decoding child cannot open, and would find
an unknown field or a second image only after reading everything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.types import Receive

from app.errors import InvalidRequest, MalformedRequest, UnsupportedMediaType, UploadTooLarge
from app.intake.arrival import receive_body
from app.intake.options import FIELDS, mistake

IMAGE_FIELD = "image"
# Boundaries, part headers and options together.
_MAX_OVERHEAD = 128 * 1024
_MAX_FIELD = 16 * 1024


@dataclass(frozen=True, slots=True)
class Upload:
    """A form that has arrived: where the image lies, and the options as (name, text) in the order sent."""

    path: Path
    fields: tuple[tuple[str, str], ...]


async def read_upload(headers: Mapping[str, str], receive: Receive, path: Path, max_bytes: int) -> Upload:
    """Writes the image to `path`, never more than `max_bytes` of it.

    Raises UnsupportedMediaType, MalformedRequest, UploadTooLarge or InvalidRequest as soon as it can know.
    """
    with path.open("wb", buffering=0) as file:
        form = _Form(file, max_bytes)
        parser = _parser(headers.get("content-type", ""), form)
        await receive_body(
            headers, receive, max_bytes + _MAX_OVERHEAD, too_large(max_bytes), lambda chunk: _feed(parser, chunk)
        )
    if not form.complete:
        raise MalformedRequest("The multipart body ends before its closing boundary.")
    if form.image_size is None:
        raise InvalidRequest(
            "An image is needed.",
            errors=[{"detail": "Send the image as the file field `image`.", "pointer": f"#/{IMAGE_FIELD}"}],
        )
    return Upload(path, tuple(form.fields))


def _feed(parser: MultipartParser, chunk: bytes) -> None:
    try:
        parser.write(chunk)
    except FormParserError as error:
        raise MalformedRequest("The multipart body is broken: its parts cannot be told apart.") from error


@dataclass(slots=True)
class _Form:
    """What the parser's callbacks collect, part by part."""

    file: BinaryIO
    max_bytes: int
    fields: list[tuple[str, str]] = field(default_factory=list)
    image_size: int | None = None
    complete: bool = False
    _name: str = ""
    _text: bytearray = field(default_factory=bytearray)
    _header: bytearray = field(default_factory=bytearray)
    _value: bytearray = field(default_factory=bytearray)
    _disposition: bytes = b""

    def on_part_begin(self) -> None:
        self._disposition = b""
        self._text = bytearray()

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header, self._value = bytearray(), bytearray()

    def on_headers_finished(self) -> None:
        _, parameters = parse_options_header(self._disposition)
        if b"name" not in parameters:
            raise MalformedRequest("A part of the form has no name.")
        self._name = parameters[b"name"].decode(errors="replace")
        if self._name == IMAGE_FIELD:
            if self.image_size is not None:
                raise _invalid(self._name, "Send one image; a second one was found.")
            self.image_size = 0
        elif self._name not in FIELDS:
            known = ", ".join((IMAGE_FIELD, *FIELDS))
            raise _invalid(self._name, f"There is no such field; the fields are {known}.")

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._name != IMAGE_FIELD:
            self._text += data[start:end]
            if len(self._text) > _MAX_FIELD:
                raise _invalid(self._name, f"The text is longer than {_MAX_FIELD:,} bytes.")
            return
        self.image_size = (self.image_size or 0) + end - start
        if self.image_size > self.max_bytes:
            raise too_large(self.max_bytes)
        # 64 kB into the page cache are 20 µs; a thread would take longer and keep the chunk meanwhile.
        self.file.write(memoryview(data)[start:end])

    def on_part_end(self) -> None:
        if self._name == IMAGE_FIELD:
            return
        try:
            self.fields.append((self._name, self._text.decode()))
        except UnicodeDecodeError as error:
            raise _invalid(self._name, "The text is not UTF-8.") from error

    def on_end(self) -> None:
        self.complete = True


def _parser(content_type: str, form: _Form) -> MultipartParser:
    kind, parameters = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise UnsupportedMediaType("Send multipart/form-data with the image as the file `image`, or application/json.")
    boundary = parameters.get(b"boundary")
    if not boundary:
        raise MalformedRequest("The Content-Type has no boundary.")
    try:
        return MultipartParser(
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


def too_large(max_bytes: int) -> UploadTooLarge:
    """The refusal of an image."""
    return UploadTooLarge(f"An image may have at most {max_bytes:,} bytes.", max_bytes=max_bytes)


def _invalid(name: str, detail: str) -> InvalidRequest:
    return InvalidRequest(f"The field `{name}` cannot be taken.", errors=[mistake(name, detail)])
