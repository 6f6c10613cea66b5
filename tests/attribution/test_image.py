"""What counts as an image: every accepted format and pixel layout, and everything that only looks like one."""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from attribution.errors import ImageTooLarge, UndecodableImage, UnsupportedImage
from attribution.image import ImageLimits, LoadedImage, decode_own, encode_bmp, encode_png, load

FORMATS = ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"]


def _photo(size: tuple[int, int] = (24, 16)) -> Image.Image:
    """Left half red, right half blue, with a green bar on top."""
    image = Image.new("RGB", size, (200, 30, 40))
    image.paste((30, 40, 200), (size[0] // 2, 0, *size))
    image.paste((20, 180, 60), (0, 0, size[0], size[1] // 4))
    return image


def _bytes(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _load(data: bytes, **limits: Any) -> LoadedImage:
    return load(BytesIO(data), ImageLimits(**limits))


def _pixel(loaded: LoadedImage, x: int = 0, y: int = 0) -> tuple[int, ...]:
    value = loaded.image.getpixel((x, y))
    assert isinstance(value, tuple)
    return value


def _near(found: tuple[int, ...], wanted: tuple[int, ...], by: int = 3) -> bool:
    return all(abs(a - b) <= by for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("kind", FORMATS)
def test_every_accepted_format_decodes(kind: str) -> None:
    """Format, size and colors survive in each of the seven."""
    best: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}, "AVIF": {"quality": 95}}
    loaded = _load(_bytes(_photo(), kind, **best.get(kind, {})))

    assert (loaded.format, loaded.width, loaded.height, loaded.frames) == (kind, 24, 16, 1)
    assert (loaded.image.mode, loaded.image.size, loaded.image.info) == ("RGB", (24, 16), {})
    assert _near(_pixel(loaded, 2, 12), (200, 30, 40), 12)


def test_the_name_does_not_matter(tmp_path: Path) -> None:
    """A PNG called .jpg is a PNG, and a text called .png is no image."""
    (tmp_path / "photo.jpg").write_bytes(_bytes(_photo(), "PNG"))
    (tmp_path / "text.png").write_text("BMW makes cars, and this is no bitmap of one.")

    assert load(tmp_path / "photo.jpg").format == "PNG"
    with pytest.raises(UnsupportedImage, match="PNG, JPEG, WebP"):
        load(tmp_path / "text.png")


@pytest.mark.parametrize(
    "data",
    [
        b"%PDF-1.7 ...",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic",
        b"RIFF\x24\x00\x00\x00WAVEfmt ",
        _bytes(_photo(), "ICO"),
        _bytes(_photo(), "PPM"),
        _bytes(_photo(), "TGA"),
        b"\x00",
    ],
    ids=["pdf", "svg", "heic", "wav", "ico", "ppm", "tga", "zero"],
)
def test_other_formats_are_unsupported(data: bytes) -> None:
    """Formats that Pillow may know, but we do not accept, are not even tried."""
    with pytest.raises(UnsupportedImage):
        _load(data)


def test_a_polyglot_is_what_it_starts_as() -> None:
    """A GIF with a PNG and a script appended is read as the GIF."""
    loaded = _load(_bytes(_photo(), "GIF") + _bytes(_photo((5, 5)), "PNG") + b"<script>alert(1)</script>")
    assert (loaded.format, loaded.width) == ("GIF", 24)


def test_an_empty_file_is_undecodable() -> None:
    """An empty file has its own sentence."""
    with pytest.raises(UndecodableImage, match="empty"):
        _load(b"")


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_cut_off_files_are_undecodable(kind: str, share: float) -> None:
    """A truncated file is an error, never a partial image."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = _bytes(noise, kind)
    with pytest.raises(UndecodableImage):
        _load(data[: max(26, int(len(data) * share))])


@given(st.sampled_from(FORMATS), st.integers(0, 400), st.binary(min_size=1, max_size=8))
def test_damage_raises_nothing_else(kind: str, where: int, damage: bytes) -> None:
    """A corrupted file gives an image or one of the three errors."""
    data = bytearray(_bytes(_photo(), kind))
    where = min(where, len(data) - 1)
    data[where : where + len(damage)] = damage
    try:
        _load(bytes(data), max_pixels=1_000_000)
    except (UnsupportedImage, UndecodableImage, ImageTooLarge):
        return


def _png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(20_000, 5_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_bombs_are_refused_by_their_header(width: int, height: int) -> None:
    """The number of pixels is checked before decoding, and the sentence contains it."""
    with pytest.raises(ImageTooLarge):
        _load(_png_header(width, height))


def test_a_bomb_in_a_text_chunk_is_harmless() -> None:
    """A megabyte of compressed zeros in a PNG's comment is not unpacked."""
    image = _photo()
    data = _bytes(image, "PNG")
    body = b"Comment\x00\x00" + zlib.compress(b"\x00" * 80_000_000)
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    try:
        _load(data[:33] + chunk + data[33:])
    except UndecodableImage:
        return


def test_frames_are_counted_and_capped() -> None:
    """An animation gives its first frame; too many frames are refused."""
    frames = [Image.new("RGB", (8, 8), (i * 20, 0, 0)) for i in range(6)]
    data = _bytes(frames[1], "GIF", save_all=True, append_images=frames[2:])

    loaded = _load(data)
    assert loaded.frames == 5
    assert _near(_pixel(loaded), (20, 0, 0))
    with pytest.raises(ImageTooLarge, match="more than 4 frames"):
        _load(data, max_frames=4)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(kind: str, orientation: int) -> None:
    """The orientation in EXIF is applied."""
    upright = _photo((32, 16))
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposition that undoes each
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(back[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    loaded = _load(_bytes(stored, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {})))

    assert (loaded.width, loaded.height) == (32, 16)
    assert np.abs(np.asarray(loaded.image).astype(int) - np.asarray(upright)).mean() < 12


def test_broken_exif_is_ignored() -> None:
    """An image with broken metadata is accepted."""
    assert _load(_bytes(_photo(), "JPEG", exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff")).width == 24


def _with_alpha() -> Image.Image:
    image = _photo((4, 4)).convert("RGBA")
    image.putpixel((0, 3), (0, 0, 0, 0))
    image.putpixel((1, 3), (0, 0, 0, 128))
    return image


def _palette_with_alpha() -> Image.Image:
    image = _with_alpha().quantize(16)
    assert image.mode == "P"
    return image


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "AVIF"])
def test_alpha_becomes_white(kind: str) -> None:
    """Transparent pixels become white."""
    lossless = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "AVIF" else {}
    loaded = _load(_bytes(_with_alpha(), kind, **lossless))
    assert _near(_pixel(loaded, 0, 3), (255, 255, 255), 6)
    if kind != "AVIF":  # its color is subsampled
        assert _near(_pixel(loaded, 1, 3), (127, 127, 127), 3)


LAYOUTS: dict[str, tuple[Callable[[], bytes], tuple[int, int, int]]] = {
    "palette": (lambda: _bytes(_photo((8, 8)).quantize(8), "PNG"), (200, 30, 40)),
    "palette with alpha": (lambda: _bytes(_palette_with_alpha(), "PNG"), (255, 255, 255)),
    "gif with a see-through color": (
        lambda: _bytes(Image.new("P", (8, 8), 0), "GIF", transparency=0),
        (255, 255, 255),
    ),
    "one see-through color in RGB": (
        lambda: _bytes(Image.new("RGB", (8, 8), (1, 2, 3)), "PNG", transparency=(1, 2, 3)),
        (255, 255, 255),
    ),
    "gray": (lambda: _bytes(Image.new("L", (8, 8), 90), "PNG"), (90, 90, 90)),
    "gray with alpha": (lambda: _bytes(Image.new("LA", (8, 8), (0, 128)), "PNG"), (127, 127, 127)),
    "one bit": (lambda: _bytes(Image.new("1", (8, 8), 1), "PNG"), (255, 255, 255)),
    "one bit tiff": (lambda: _bytes(Image.new("1", (8, 8), 1), "TIFF", compression="group4"), (255, 255, 255)),
    "16-bit gray png": (lambda: _bytes(_grey16(32896), "PNG"), (128, 128, 128)),
    "16-bit gray tiff": (lambda: _bytes(_grey16(32896), "TIFF"), (128, 128, 128)),
    "16-bit gray tiff, big-endian": (lambda: _tiff16_big_endian(32896), (128, 128, 128)),
    "32-bit gray tiff": (lambda: _bytes(Image.new("I", (8, 8), 32896), "TIFF"), (128, 128, 128)),
    "float tiff, 0 to 1": (lambda: _bytes(Image.new("F", (8, 8), 0.5), "TIFF"), (128, 128, 128)),
    "float tiff, 0 to 255": (lambda: _bytes(Image.new("F", (8, 8), 128.0), "TIFF"), (128, 128, 128)),
    "float tiff of no numbers": (lambda: _bytes(Image.new("F", (8, 8), float("nan")), "TIFF"), (0, 0, 0)),
    "16-bit color png": (lambda: _png16((51400, 7710, 10280)), (200, 30, 40)),
    "cmyk tiff": (lambda: _bytes(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF"), (255, 0, 0)),
    "cmyk jpeg, inverted as Adobe does": (
        lambda: _bytes(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100),
        (255, 0, 0),
    ),
    "ycbcr tiff": (lambda: _bytes(_photo((8, 8)).convert("YCbCr"), "TIFF"), (200, 30, 40)),
    "lab tiff": (lambda: _bytes(_lab((200, 30, 40)), "TIFF"), (200, 30, 40)),
}


def _grey16(value: int) -> Image.Image:
    return Image.fromarray(np.full((8, 8), value, np.uint16))


def _tiff16_big_endian(value: int) -> bytes:
    tags = [(256, 8), (257, 8), (258, 16), (259, 1), (262, 1), (273, 134), (277, 1), (278, 8), (279, 128)]
    directory = struct.pack(">H", len(tags)) + b"".join(struct.pack(">HHII", tag, 4, 1, v) for tag, v in tags)
    head = b"MM\x00\x2a" + struct.pack(">I", 8) + directory + struct.pack(">I", 0)
    return head.ljust(134, b"\0") + struct.pack(">H", value) * 64


def _png16(color: tuple[int, int, int]) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0))
    rows = (b"\x00" + struct.pack(">3H", *color) * 8) * 8
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _lab(color: tuple[int, int, int]) -> Image.Image:
    image = Image.new("RGB", (8, 8), color)
    transform = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None
    return converted


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_pixel_layout_becomes_rgb(layout: str) -> None:
    """All palettes, depths and color models are converted to the same 8-bit image."""
    make, wanted = LAYOUTS[layout]
    loaded = _load(make())
    y = 3 if layout == "palette with alpha" else 7
    assert loaded.image.mode == "RGB"
    assert _near(_pixel(loaded, 0, y), wanted, 4), _pixel(loaded, 0, y)


def _wide_profile() -> bytes:
    """sRGB with its red and green swapped: unmistakably applied or not."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", profile[128:132])[0]
    for i in range(count):
        at = 132 + 12 * i
        name = bytes(profile[at : at + 4])
        if name in (b"rXYZ", b"gXYZ"):
            profile[at : at + 4] = b"gXYZ" if name == b"rXYZ" else b"rXYZ"
    return bytes(profile).replace("sRGB built-in".encode("utf-16-be"), "odd! built-in".encode("utf-16-be"))


def test_a_color_profile_is_applied() -> None:
    """An image in another color space comes out as sRGB."""
    plain = Image.new("RGB", (8, 8), (255, 0, 0))
    assert _near(_pixel(_load(_bytes(plain, "PNG", icc_profile=_wide_profile()))), (0, 255, 0), 4)


@pytest.mark.parametrize(
    "profile",
    [b"nonsense", ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()],
    ids=["broken", "for other channels"],
)
def test_a_profile_without_sense_is_ignored(profile: bytes) -> None:
    """Broken profiles, and profiles for other channels, change nothing."""
    plain = Image.new("RGB", (8, 8), (255, 0, 0))
    assert _pixel(_load(_bytes(plain, "PNG", icc_profile=profile))) == (255, 0, 0)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_large_images_are_shrunk_to_the_canonical_side(kind: str) -> None:
    """The longest side has the canonical size; `width` and `height` are those of the file."""
    loaded = _load(_bytes(_photo((900, 600)), kind), canonical_side=100)
    assert (loaded.image.size, loaded.width, loaded.height) == ((100, 67), 900, 600)
    assert _near(_pixel(loaded, 10, 60), (200, 30, 40), 5)
    assert _near(_pixel(loaded, 90, 60), (30, 40, 200), 5)


def test_small_images_keep_their_size() -> None:
    """Small images are not enlarged."""
    assert _load(_bytes(_photo(), "PNG"), canonical_side=100).image.size == (24, 16)


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (1, 1), (333, 2999)])
def test_odd_shapes_survive(size: tuple[int, int]) -> None:
    """An image of one pixel's width keeps at least one pixel in each direction."""
    loaded = _load(_bytes(Image.new("RGB", size, (9, 99, 199)), "PNG"), canonical_side=64)
    assert max(loaded.image.size) <= 64
    assert set(loaded.image.get_flattened_data()) == {(9, 99, 199)}


def test_shrinking_in_strips_is_shrinking() -> None:
    """Scaling in strips is close to LANCZOS on the whole image, for all sizes."""
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (701, 1303, 3), dtype=np.uint8))
    smooth = noise.resize((13, 7)).resize((1303, 701), Image.Resampling.BICUBIC)
    loaded = _load(_bytes(smooth, "PNG"), canonical_side=64)
    wanted = smooth.resize((64, 34), Image.Resampling.LANCZOS)
    assert np.abs(np.asarray(loaded.image).astype(int) - np.asarray(wanted)).max() <= 4


@pytest.mark.parametrize("encode", [encode_png, encode_bmp])
def test_what_is_stored_round_trips_exactly(encode: Callable[[Image.Image], bytes]) -> None:
    """Encoded pixels are decoded exactly, and equal pixels give equal bytes."""
    image = Image.fromarray(np.random.default_rng(2).integers(0, 256, (9, 7, 3), dtype=np.uint8))
    image.info["icc_profile"] = b"left over"
    again = decode_own(encode(image))
    assert again.tobytes() == image.tobytes()
    assert encode(again) == encode(image)
