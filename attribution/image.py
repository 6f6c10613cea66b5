"""Decoding: the bytes of a file become one RGB image in canonical size. The first step of every job.

Only Pillow, numpy and the standard library are imported, because the API's decoding processes import this module. The
content decides the format, not the file's name, and every limit is checked before pixels are decoded.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from attribution.borders import find_border
from attribution.color import choose_ground, converter
from attribution.errors import ImageError, ImageTooLarge, UndecodableImage, UnsupportedImage
from attribution.file_kinds import HEAD_BYTES, accepted_format, refusal
from attribution.file_parts import check_parts
from attribution.frames import select_frame
from attribution.quality import FrameUse, InputQuality, examine

_STRIP_PIXELS = 1 << 20
# A black square that was sent as JPEG varies by a few levels, a generated image by dozens.
_BLANK_RANGE = 8
_ORIENTATION_TAG = 0x0112
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits of the input, the longest side of the output, and what is done with a query image.

    `examine`: an animation is searched for a frame that shows something, and the image's quality is examined.
    `crop_borders`: borders that are found so are cut off.
    """

    max_pixels: int = 50_000_000
    max_frames: int = 1_000
    canonical_side: int = 1024
    examine: bool = False
    crop_borders: bool = False


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """A decoded image in canonical form; `width` and `height` are those of the file, after its orientation.

    `quality` is None unless it was to be examined.
    """

    image: Image.Image
    format: str
    width: int
    height: int
    frames: int
    mode: str
    quality: InputQuality | None = None


def load(file: BinaryIO | Path, limits: ImageLimits | None = None) -> LoadedImage:
    """Decode one frame into RGB, longest side at most `limits.canonical_side`: see `select_frame`.

    Raises only UnsupportedImage, UndecodableImage or ImageTooLarge, whatever the bytes are.
    """
    limits = limits or ImageLimits()
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return load(opened, limits)
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if not head:
        raise UndecodableImage("The file is empty.")
    kind = accepted_format(head)
    if kind is None:
        raise UnsupportedImage(refusal(head))
    with _refusing(kind):
        check_parts(file, kind, limits.max_frames)
    with _refusing(kind), Image.open(file, formats=[kind]) as opened_image:
        return _decode(opened_image, kind, limits)


def decode_image(data: bytes) -> Image.Image:
    """The pixels of `load` with its default limits. Raises as that does."""
    return load(BytesIO(data)).image


def encode_png(image: Image.Image) -> bytes:
    """PNG without profile, date and text: equal pixels give equal bytes."""
    plain = image.convert("RGB")
    plain.info = {}
    buffer = BytesIO()
    plain.save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()


def encode_bmp(image: Image.Image) -> bytes:
    """Uncompressed, for images that are read soon: PNG took 126 ms for 1024², twenty times the decoding."""
    plain = image.convert("RGB")
    plain.info = {}
    buffer = BytesIO()
    plain.save(buffer, format="BMP")
    return buffer.getvalue()


def decode_own(data: bytes) -> Image.Image:
    """The exact pixels that `encode_png` or `encode_bmp` wrote: neither scaled nor converted."""
    with Image.open(BytesIO(data), formats=["PNG", "BMP"]) as image:
        return image.convert("RGB")


def is_blank(image: Image.Image) -> bool:
    """Whether every channel of an RGB image has nearly one value, as in the output of a safety filter.

    A blank image must not be embedded: it would falsify the source's distance.
    """
    extrema: list[tuple[int, int]] = [band.getextrema() for band in image.convert("RGB").split()]  # type: ignore[misc]
    return all(high - low <= _BLANK_RANGE for low, high in extrema)


@contextmanager
def _refusing(kind: str) -> Iterator[None]:
    """Any exception of a decoder becomes one of three errors; warnings are ignored."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImageError:
        raise
    except (Image.DecompressionBombError, MemoryError):
        raise ImageTooLarge("Decoding this image would take more memory than is allowed.") from None
    except UnidentifiedImageError:
        raise UndecodableImage(f"The file starts like a {kind} image, but its header is broken or cut off.") from None
    except Exception as error:
        raise UndecodableImage(f"The {kind} image is broken or cut off: its pixels cannot be read.") from error


def _decode(image: Image.Image, kind: str, limits: ImageLimits) -> LoadedImage:
    frames = int(getattr(image, "n_frames", 1))
    if frames > limits.max_frames:
        raise ImageTooLarge(f"The image has {frames} frames; at most {limits.max_frames} are accepted.")
    _check_pixels(image, limits)
    frame = select_frame(image, by_content=limits.examine)
    _check_pixels(image, limits)  # a TIFF's pages differ in size
    width, height = image.size
    mode = image.mode
    side = limits.canonical_side
    if max(width, height) > 4 * side:
        # JPEG decodes directly at 1/2, 1/4 or 1/8; twice the side leaves the last step to LANCZOS.
        image.draft(None, (2 * side, 2 * side))
    image.load()
    ground = choose_ground(image)
    small = _shrink(image, side, ground)
    border = find_border(small) if limits.examine else None
    if border is not None:
        border = border.scaled(max(image.size) / max(small.size))
        if limits.crop_borders:
            small = _shrink(image.crop(border.inside(*image.size)), side, ground)
        border = border.scaled(width / image.width)
    orientation = _orientation(image)  # after load(): PNG may have it last, and TIFF has already applied it
    if orientation in _TRANSPOSE:
        small = small.transpose(_TRANSPOSE[orientation])
        border = border and border.transposed(orientation)
    if orientation >= 5:
        width, height = height, width
    if kind == "TIFF":
        width, height = image.size
    quality = None
    if limits.examine:
        use = FrameUse(width, height, frames, frame, ground, border, border is not None and limits.crop_borders)
        quality = examine(small, image, use)
    return LoadedImage(small, kind, width, height, frames, mode, quality)


def _check_pixels(image: Image.Image, limits: ImageLimits) -> None:
    width, height = image.size
    if width * height > limits.max_pixels:
        raise ImageTooLarge(f"The image has {width}×{height} pixels; at most {limits.max_pixels:,} are accepted.")


def _shrink(image: Image.Image, side: int, ground: str | None) -> Image.Image:
    """RGB with the longest side at most `side`, with at most one full-size copy of the pixels in memory."""
    width, height = image.size
    to_rgb = converter(image, ground or "white")
    factor = max(1, max(width, height) // (2 * side))
    rows = max(1, _STRIP_PIXELS // (width * factor)) * factor
    small = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    for top in range(0, height, rows):
        strip = to_rgb(image.crop((0, top, width, min(top + rows, height))))
        small.paste(strip.reduce(factor) if factor > 1 else strip, (0, top // factor))
    if max(width, height) <= side:
        return small
    scale = side / max(width, height)
    target = (max(1, round(width * scale)), max(1, round(height * scale)))
    # The box ends with the original: the reduced image may be a fraction of a pixel wider.
    return small.resize(target, Image.Resampling.LANCZOS, box=(0, 0, width / factor, height / factor))


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # an image with broken EXIF is still accepted
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
