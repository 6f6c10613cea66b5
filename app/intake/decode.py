"""Runs in a decoding child process, between the upload on disk and the canonical image on disk.

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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


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
    """What an uploaded file turned out to be; `canonical_sha256` is of the BMP that was written beside it.

    `evidence` is what the file says about its origin: `attribution.evidence.finding.documents`, at most 8 kB.
    """

    format: str
    width: int
    height: int
    frames: int
    sha256: str
    size: int
    canonical_sha256: str
    evidence: list[dict[str, Any]] = field(default_factory=list)


_KEPT_BLOCKS = 4


def decode(upload: Path, canonical: Path, limits: DecodeLimits) -> Decoded:
    """Decodes `upload` and writes its canonical BMP to `canonical`. Raises ImageError, MemoryError or OSError.

    The process ends itself when that takes more computing than it may: time spent waiting for a busy machine is not
    the image's fault.
    """
    with limited(limits.memory_bytes, limits.cpu_seconds):
        return _decode(upload, canonical, limits)


def decode_reference(upload: Path, canonical: Path, limits: DecodeLimits) -> str:
    """Writes the canonical BMP of a drawing that a caller brings, and returns its SHA-256. Raises as `decode` does.

    One that is blank, as safety filters leave it, is an UndecodableImage: nothing was drawn that could be compared.
    """
    with limited(limits.memory_bytes, limits.cpu_seconds):
        from attribution.errors import UndecodableImage
        from attribution.image import decode_own
        from attribution.resynthesise.blank import is_blank

        sha256 = _decode(upload, canonical, limits).canonical_sha256
        if is_blank(decode_own(canonical.read_bytes())):
            raise UndecodableImage("It is blank: all of one colour, as safety filters leave it.")
        return sha256


def read_evidence(upload: Path, trust_list: Path | None, memory_bytes: int, cpu_seconds: float) -> list[dict[str, Any]]:
    """What `upload` says about its origin. A task of its own, so that its end need not be that of the image.

    `trust_list` names a file of PEM certificates. Raises OSError or MemoryError; ends the process as `decode` does.
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


def _decode(upload: Path, canonical: Path, limits: DecodeLimits) -> Decoded:
    from PIL import Image

    from attribution.image import ImageLimits, encode_bmp, load

    # Pillow keeps this many freed blocks of 16 MB: asking the kernel for them anew doubled the time of a decoding.
    Image.core.set_blocks_max(_KEPT_BLOCKS)  # type: ignore[attr-defined]
    loaded = load(upload, ImageLimits(limits.max_pixels, limits.max_frames, limits.canonical_side))
    bmp = encode_bmp(loaded.image)
    canonical.write_bytes(bmp)
    with upload.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Decoded(
        format=loaded.format,
        width=loaded.width,
        height=loaded.height,
        frames=loaded.frames,
        sha256=sha256,
        size=upload.stat().st_size,
        canonical_sha256=hashlib.sha256(bmp).hexdigest(),
    )


def _confine(memory_bytes: int) -> None:
    """Limits this process's memory once; a process that was confined before stays so."""
    if resource.getrlimit(resource.RLIMIT_AS)[1] == memory_bytes:
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Nobody reads the pipe that is our standard error, and libtiff's complaints would fill it and block us.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
