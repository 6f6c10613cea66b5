"""The tasks of a decoding child process: describe a file, write its canonical image, read its evidence, unpack JSON.

Each takes numbers of open files, because a confined child can open none, and options that came as JSON. Imports nothing
of the service: the child is small and has no secrets. The decoders are imported inside the functions, so that the API
process, which only names these functions, does not load them.
"""

import encodings
import functools
import hashlib
import importlib
import os
import pkgutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attribution.image import LoadedImage


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """The largest image that is accepted, the side of the canonical image, and the CPU time for decoding."""

    max_pixels: int
    max_frames: int
    canonical_side: int
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
# The certificates of trusted issuers, by the name of their file.
_TRUSTED: dict[str, str] = {}


def inspect(upload: int, limits: DecodeLimits) -> dict[str, Any]:
    """Decodes all of a file and keeps no pixels. Raises ImageError, MemoryError or OSError.

    A JPEG is read completely, but only an eighth of its side is reconstructed: that takes half the time and still finds
    what is cut off or broken. The process ends itself when that takes too much CPU time; waiting for a busy computer
    does not count.
    """
    with timed(limits.cpu_seconds):
        data = _content(upload)
        return _describe(data, _load(data, limits, _THUMBNAIL_SIDE))


def derive(upload: int, canonical: int, limits: DecodeLimits, evidence_seconds: float) -> dict[str, Any]:
    """`canonicalize` and `read_evidence` in one call."""
    return canonicalize(upload, canonical, limits) | read_evidence(upload, evidence_seconds)


def canonicalize(upload: int, canonical: int, limits: DecodeLimits) -> dict[str, Any]:
    """Writes the canonical BMP of a file. Raises, and ends the process, as `inspect` does."""
    with timed(limits.cpu_seconds):
        from attribution.image import encode_bmp

        data = _content(upload)
        loaded = _load(data, limits, limits.canonical_side, examine=True)
        _write(canonical, encode_bmp(loaded.image))
        return _describe(data, loaded)


def decode_reference(upload: int, canonical: int, limits: DecodeLimits) -> dict[str, Any]:
    """Writes the canonical BMP of a reference image, and returns the BMP's SHA-256. Raises as `inspect` does.

    A blank image, as safety filters return it, is an UndecodableImage: there is nothing to compare.
    """
    with timed(limits.cpu_seconds):
        from attribution.errors import UndecodableImage
        from attribution.image import encode_bmp, is_blank

        image = _load(_content(upload), limits, limits.canonical_side).image
        if is_blank(image):
            raise UndecodableImage("It is blank: all of one color, as safety filters return it.")
        bmp = encode_bmp(image)
        _write(canonical, bmp)
        return {"sha256": hashlib.sha256(bmp).hexdigest()}


def decode_generated(upload: int, pixels: int, limits: DecodeLimits) -> dict[str, Any]:
    """Writes the RGB pixels of a generated image, row by row, and returns its size. Raises as `inspect` does."""
    with timed(limits.cpu_seconds):
        image = _load(_content(upload), limits, limits.canonical_side).image
        _write(pixels, image.tobytes())
        return {"width": image.width, "height": image.height}


def read_evidence(upload: int, cpu_seconds: float) -> dict[str, Any]:
    """The evidence of origin in a file: `attribution.evidence.finding.documents`, at most 8 kB.

    Raises OSError or MemoryError; ends the process as `inspect` does.
    """
    with timed(cpu_seconds):
        from attribution.evidence.finding import documents
        from attribution.evidence.read import read

        return {"evidence": documents(read(_content(upload), _TRUSTED))}


def unpack_json(body: int, images: int, value: int, cpu_seconds: float) -> dict[str, Any]:
    """Writes the value of a JSON body, and its images one behind the other: see `json_body.unpack`.

    Raises ValueError, MemoryError or OSError; ends the process as `inspect` does.
    """
    with timed(cpu_seconds):
        from app.intake.json_body import unpack

        unpacked = unpack(_content(body), functools.partial(_write, images))
        _write(value, unpacked.document())
        return {}


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    task.__name__: task
    for task in (inspect, derive, canonicalize, decode_reference, decode_generated, read_evidence, unpack_json)
}


def run(task: str, files: list[int], options: Mapping[str, Any]) -> dict[str, Any]:
    """Runs one of TASKS. Raises what it raises."""
    given = dict(options)
    if "limits" in given:
        given["limits"] = DecodeLimits(**given["limits"])
    return TASKS[task](*files, **given)


def preload(trust_list: Path | None, *, evidence: bool) -> None:
    """Loads everything that a task could need: a confined process can load nothing. Tries each format once.

    Args:
        trust_list: A file of PEM certificates, or a folder of them.
        evidence: Whether evidence will be read, which takes as long to load as all the rest.
    """
    from PIL import AvifImagePlugin, Image

    import app.intake.json_body  # noqa: F401 - loaded for `unpack_json`
    from attribution.file_kinds import FORMATS
    from attribution.image import ImageLimits, load

    for name in (*(f"encodings.{found.name}" for found in pkgutil.iter_modules(encodings.__path__)), "numpy.fft"):
        with suppress(ImportError):  # codecs of Windows
            importlib.import_module(name)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    Image.core.set_blocks_max(_KEPT_BLOCKS)  # type: ignore[attr-defined]
    files = [_sample(kind, 300 if kind == "PNG" else 16) for kind in FORMATS]
    for file in files:
        load(BytesIO(file), ImageLimits(examine=True, crop_borders=True))
    if evidence:
        _preload_evidence(trust_list, files)


def _preload_evidence(trust_list: Path | None, files: Sequence[bytes]) -> None:
    from attribution.evidence.credentials import MARKER, read_trust_lists
    from attribution.evidence.products import known_generator
    from attribution.evidence.read import read

    _TRUSTED.update(read_trust_lists(trust_list))
    known_generator(["any"])  # reads the list of products
    for file in files:
        read(file + MARKER, _TRUSTED)


def _sample(kind: str, side: int) -> bytes:
    from PIL import Image

    image = Image.new("RGB", (side, side))
    image.paste(Image.effect_noise((side // 2, side // 2), 90), (side // 4, side // 4))
    file = BytesIO()
    image.save(file, kind)
    return file.getvalue()


@contextmanager
def timed(cpu_seconds: float) -> Iterator[None]:
    """Ends this process where the block takes more CPU time than allowed."""
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _load(data: bytes, limits: DecodeLimits, side: int, *, examine: bool = False) -> "LoadedImage":
    from attribution.image import ImageLimits, load

    return load(
        BytesIO(data),
        ImageLimits(limits.max_pixels, limits.max_frames, side, examine, examine and limits.crop_borders),
    )


def _describe(data: bytes, loaded: "LoadedImage") -> dict[str, Any]:
    quality = None if loaded.quality is None else asdict(loaded.quality)
    sha256 = hashlib.sha256(data).hexdigest()
    return asdict(Decoded(loaded.format, loaded.width, loaded.height, loaded.frames, sha256, len(data), quality))


def _content(file: int) -> bytes:
    """The whole file. Seeks instead of asking for its size, which a confined process may not."""
    size = os.lseek(file, 0, os.SEEK_END)
    os.lseek(file, 0, os.SEEK_SET)
    data = os.read(file, size)
    while len(data) < size and (more := os.read(file, size - len(data))):
        data += more
    return data


def _write(file: int, data: bytes) -> int:
    """Writes all of it at the file's position."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
    return len(data)
