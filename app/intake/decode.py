"""Runs in a decoding child process: says what a file is, and makes the canonical image of it.

Imports nothing of the service: the child is small, and knows no secret. And what decodes is imported by the function
alone, so that the API process, which only names it, does without.
"""

import functools
import hashlib
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attribution.image import LoadedImage


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What an image may be, what comes out, and what getting there may cost."""

    max_pixels: int
    max_frames: int
    canonical_side: int
    memory_bytes: int
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Decoded:
    """What an uploaded file turned out to be."""

    format: str
    width: int
    height: int
    frames: int
    sha256: str
    size: int


_KEPT_BLOCKS = 4
# The side that pixels are reduced to where nobody will look at them.
_GLANCE = 64


def inspect(upload: Path, limits: DecodeLimits) -> Decoded:
    """Decodes all of `upload` and keeps nothing of it. Raises ImageError, MemoryError or OSError.

    Of a JPEG, all that is coded is read, and an eighth of the pixels made of it: half the time, and what is cut off
    or broken is found all the same. The process ends itself when that takes more computing than it may: time spent
    waiting for a busy machine is not the image's fault.
    """
    with limited(limits.memory_bytes, limits.cpu_seconds):
        loaded = _load(upload, limits, _GLANCE)
        with upload.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size = upload.stat().st_size
        return Decoded(loaded.format, loaded.width, loaded.height, loaded.frames, sha256, size)


def derive(
    upload: Path, canonical: Path, limits: DecodeLimits, trust_list: Path | None, evidence_seconds: float
) -> list[dict[str, Any]]:
    """`canonicalize` and `read_evidence` in one go."""
    canonicalize(upload, canonical, limits)
    return read_evidence(upload, trust_list, limits.memory_bytes, evidence_seconds)


def canonicalize(upload: Path, canonical: Path, limits: DecodeLimits) -> None:
    """Writes the canonical BMP of `upload` to `canonical`. Raises, and ends the process, as `inspect` does."""
    with limited(limits.memory_bytes, limits.cpu_seconds):
        from attribution.image import encode_bmp

        canonical.write_bytes(encode_bmp(_load(upload, limits, limits.canonical_side).image))


def decode_reference(upload: Path, canonical: Path, limits: DecodeLimits) -> str:
    """Writes the canonical BMP of a generated image that a caller brings, and returns its SHA-256. Raises as `inspect` does.

    One that is blank, as safety filters leave it, is an UndecodableImage: nothing was generated that could be compared.
    """
    with limited(limits.memory_bytes, limits.cpu_seconds):
        from attribution.errors import UndecodableImage
        from attribution.image import encode_bmp, is_blank

        image = _load(upload, limits, limits.canonical_side).image
        if is_blank(image):
            raise UndecodableImage("It is blank: all of one color, as safety filters leave it.")
        bmp = encode_bmp(image)
        canonical.write_bytes(bmp)
        return hashlib.sha256(bmp).hexdigest()


def read_evidence(upload: Path, trust_list: Path | None, memory_bytes: int, cpu_seconds: float) -> list[dict[str, Any]]:
    """What `upload` says about its origin: `attribution.evidence.finding.documents`, at most 8 kB.

    `trust_list` names a file of PEM certificates. Raises OSError or MemoryError; ends the process as `inspect` does.
    """
    with limited(memory_bytes, cpu_seconds):
        from attribution.evidence.finding import documents
        from attribution.evidence.read import read

        return documents(read(upload.read_bytes(), _text(trust_list) if trust_list else None))


@functools.cache
def _text(file: Path) -> str:
    return file.read_text()


@contextmanager
def limited(memory_bytes: int, cpu_seconds: float) -> Iterator[None]:
    """Confines this process for good, and ends it if the block takes more computing than it may."""
    _confine(memory_bytes)
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _load(upload: Path, limits: DecodeLimits, side: int) -> "LoadedImage":
    from PIL import Image

    from attribution.image import ImageLimits, load

    # Pillow keeps this many freed blocks of 16 MB: asking the kernel for them anew doubled the time of a decoding.
    Image.core.set_blocks_max(_KEPT_BLOCKS)  # type: ignore[attr-defined]
    return load(upload, ImageLimits(limits.max_pixels, limits.max_frames, side))


def _confine(memory_bytes: int) -> None:
    """Limits this process's memory once; a process that was confined before stays so."""
    if resource.getrlimit(resource.RLIMIT_AS)[1] == memory_bytes:
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Nobody reads the pipe that is our standard error, and libtiff's complaints would fill it and block us.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
