"""Runs in a decoding child process: describes a file, writes its canonical image, and reads its evidence.

Imports nothing of the service: the child is small and has no secrets. The decoders are imported inside the functions,
so that the API process, which only names these functions, does not load them.
"""

import functools
import hashlib
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attribution.image import LoadedImage


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """The largest image that is accepted, the side of the canonical image, and the resources for decoding."""

    max_pixels: int
    max_frames: int
    canonical_side: int
    memory_bytes: int
    cpu_seconds: float
    crop_borders: bool = False


@dataclass(frozen=True, slots=True)
class Decoded:
    """What decoding found out about a file; as a dictionary it is the column `image` of a job.

    `quality` is known once the canonical image has been made: `attribution.quality.InputQuality` as a dictionary.
    """

    format: str
    width: int
    height: int
    frames: int
    sha256: str
    size: int
    quality: dict[str, Any] | None = None

    @property
    def media_type(self) -> str:
        """Of the file."""
        return f"image/{self.format.lower()}"


# Pillow keeps this many freed blocks of 16 MB: requesting them from the kernel again doubled the time of decoding.
_KEPT_BLOCKS = 4
# The side that pixels are reduced to where they are not used.
_THUMBNAIL_SIDE = 64


def inspect(upload: Path, limits: DecodeLimits) -> Decoded:
    """Decodes all of `upload` and keeps no pixels. Raises ImageError, MemoryError or OSError.

    A JPEG is read completely, but only an eighth of its side is reconstructed: that takes half the time and still finds
    what is cut off or broken. The process ends itself when that takes too much CPU time; waiting for a busy computer
    does not count.
    """
    with limited(limits.memory_bytes, limits.cpu_seconds):
        return _describe(upload, _load(upload, limits, _THUMBNAIL_SIDE))


def derive(
    upload: Path, canonical: Path, limits: DecodeLimits, trust_list: Path | None, evidence_seconds: float
) -> tuple[Decoded, list[dict[str, Any]]]:
    """`canonicalize` and `read_evidence` in one call."""
    decoded = canonicalize(upload, canonical, limits)
    return decoded, read_evidence(upload, trust_list, limits.memory_bytes, evidence_seconds)


def canonicalize(upload: Path, canonical: Path, limits: DecodeLimits) -> Decoded:
    """Writes the canonical BMP of `upload` to `canonical`. Raises, and ends the process, as `inspect` does."""
    with limited(limits.memory_bytes, limits.cpu_seconds):
        from attribution.image import encode_bmp

        loaded = _load(upload, limits, limits.canonical_side, examine=True)
        canonical.write_bytes(encode_bmp(loaded.image))
        return _describe(upload, loaded)


def decode_reference(upload: Path, canonical: Path, limits: DecodeLimits) -> str:
    """Writes the canonical BMP of a reference image, and returns the BMP's SHA-256. Raises as `inspect` does.

    A blank image, as safety filters return it, is an UndecodableImage: there is nothing to compare.
    """
    with limited(limits.memory_bytes, limits.cpu_seconds):
        from attribution.errors import UndecodableImage
        from attribution.image import encode_bmp, is_blank

        image = _load(upload, limits, limits.canonical_side).image
        if is_blank(image):
            raise UndecodableImage("It is blank: all of one color, as safety filters return it.")
        bmp = encode_bmp(image)
        canonical.write_bytes(bmp)
        return hashlib.sha256(bmp).hexdigest()


def read_evidence(upload: Path, trust_list: Path | None, memory_bytes: int, cpu_seconds: float) -> list[dict[str, Any]]:
    """The evidence of origin in the file `upload`: `attribution.evidence.finding.documents`, at most 8 kB.

    `trust_list` names a file of PEM certificates, or a folder of them. Raises OSError or MemoryError; ends the process
    as `inspect` does.
    """
    with limited(memory_bytes, cpu_seconds):
        from attribution.evidence.finding import documents
        from attribution.evidence.read import read

        return documents(read(upload.read_bytes(), _trust_lists(trust_list)))


@functools.cache
def _trust_lists(path: Path | None) -> dict[str, str]:
    from attribution.evidence.credentials import read_trust_lists

    return read_trust_lists(path)


@contextmanager
def limited(memory_bytes: int, cpu_seconds: float) -> Iterator[None]:
    """Confines this process for good, and ends it where the block takes more CPU time than allowed."""
    _confine(memory_bytes)
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _load(upload: Path, limits: DecodeLimits, side: int, *, examine: bool = False) -> "LoadedImage":
    from PIL import Image

    from attribution.image import ImageLimits, load

    Image.core.set_blocks_max(_KEPT_BLOCKS)  # type: ignore[attr-defined]
    return load(
        upload, ImageLimits(limits.max_pixels, limits.max_frames, side, examine, examine and limits.crop_borders)
    )


def _describe(upload: Path, loaded: "LoadedImage") -> Decoded:
    with upload.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    quality = None if loaded.quality is None else asdict(loaded.quality)
    return Decoded(loaded.format, loaded.width, loaded.height, loaded.frames, sha256, upload.stat().st_size, quality)


def _confine(memory_bytes: int) -> None:
    """Limits this process's memory once; the limit of a process cannot be raised again."""
    if resource.getrlimit(resource.RLIMIT_AS)[1] == memory_bytes:
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The pipe of standard error is not read: messages of libtiff would fill it and block the process.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
