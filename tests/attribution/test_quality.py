"""What is found about a query image: blank sheets, frames, borders, transparency, JPEG quality, enlargement, strips."""

import io
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from attribution.borders import Border, find_border
from attribution.image import ImageLimits, LoadedImage, load
from attribution.quality import InputQuality, looks_enlarged, shows_nothing
from tests.app.images import encoded, noise


def examined(data: bytes, **limits: Any) -> tuple[LoadedImage, InputQuality]:
    """The image, and its quality."""
    loaded = load(BytesIO(data), ImageLimits(examine=True, **limits))
    assert loaded.quality is not None
    return loaded, loaded.quality


def picture(width: int = 320, height: int = 240, seed: int = 0) -> Image.Image:
    """Smooth shapes with fine grain, as photos have."""
    shapes = noise(max(2, width // 20), max(2, height // 20), seed=seed).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    return Image.blend(shapes, noise(width, height, seed=seed + 1), 0.15)


def framed(image: Image.Image, left: int, top: int, right: int, bottom: int, color: str = "black") -> Image.Image:
    """The image in a frame."""
    sheet = Image.new("RGB", (image.width + left + right, image.height + top + bottom), color)
    sheet.paste(image, (left, top))
    return sheet


def animation(frames: list[Image.Image], kind: str, **options: Any) -> bytes:
    """An animated file."""
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], duration=50, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("color", ["white", "black", "#3f7fbf"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_sheet_of_one_color_is_blank(color: str, kind: str) -> None:
    """Whatever the color and the compression."""
    assert examined(encoded(Image.new("RGB", (300, 200), color), kind))[1].blank


def test_a_sheet_with_noise_or_a_speck_is_blank() -> None:
    """A scanner's noise, and a few pixels of dirt."""
    sheet = np.full((400, 400, 3), 244, np.uint8)
    sheet += np.random.default_rng(0).integers(0, 8, sheet.shape, dtype=np.uint8)
    sheet[10:14, 10:14] = 0
    assert shows_nothing(Image.fromarray(sheet))


@pytest.mark.parametrize(
    "image",
    [
        picture(),
        framed(noise(20, 20), 200, 200, 200, 200, "white"),
        Image.linear_gradient("L").convert("RGB"),
        Image.blend(Image.new("RGB", (320, 240), "white"), picture(), 0.3),
    ],
    ids=["photo", "small-object", "gradient", "faint"],
)
def test_what_shows_something_is_not_blank(image: Image.Image) -> None:
    """A small object on white, a gradient and a faint image show something."""
    assert not examined(encoded(image))[1].blank


def test_a_wholly_transparent_image_is_blank() -> None:
    """Whatever colors lie under it."""
    image = picture().convert("RGBA")
    image.putalpha(0)
    loaded, quality = examined(encoded(image))
    assert quality.blank
    assert loaded.image.getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
def test_an_animation_that_fades_in_is_compared_by_a_frame_that_shows_something(kind: str) -> None:
    """The first one with half the contrast of the last; the quality says which."""
    white = Image.new("RGB", (320, 240), "white")
    frames = [Image.blend(white, picture(), step / 8) for step in range(9)]
    loaded, quality = examined(animation(frames, kind))
    assert quality.frames == 9
    assert 4 <= quality.frame <= 6
    assert not quality.blank
    assert any(note.startswith(f"Frame {quality.frame} of 9 is compared") for note in quality.notes)
    assert np.asarray(loaded.image).std() > 20


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_an_ordinary_animation_is_compared_by_its_first_frame(kind: str) -> None:
    """Even where a later one has more contrast."""
    loaded, quality = examined(animation([picture(), noise(320, 240)], kind))
    assert (quality.frame, quality.frames) == (1, 2)
    assert np.asarray(loaded.image.convert("L")).std() < 60


def test_an_animation_of_blank_frames_is_blank() -> None:
    """All frames are searched, and none shows anything."""
    frames = [Image.new("RGB", (64, 64), color) for color in ("#fff", "#fefefe", "#fdfdfd")]
    assert examined(animation(frames, "WEBP", lossless=True))[1].blank


@pytest.mark.parametrize(
    ("color", "ground"), [("white", "black"), ("#f4f4f4", "black"), ("black", "white"), ("red", "white")]
)
def test_transparency_is_put_on_a_ground_on_which_the_content_shows(color: str, ground: str) -> None:
    """White art on black, everything else on white."""
    image = Image.new("RGBA", (200, 200), (0, 0, 0, 0))
    image.paste(color, (50, 50, 150, 150))
    loaded, quality = examined(encoded(image))
    assert (quality.transparent, quality.ground, quality.blank) == (True, ground, False)
    assert loaded.image.getpixel((5, 5)) == ((255, 255, 255) if ground == "white" else (0, 0, 0))
    assert any(f"put on {ground}" in note for note in quality.notes)


@pytest.mark.parametrize("alpha", [255, 254])
def test_an_opaque_alpha_channel_is_no_transparency(alpha: int) -> None:
    """Nor the one bit that some programs hide in it."""
    image = picture().convert("RGBA")
    image.putalpha(alpha)
    assert examined(encoded(image))[1].transparent is False


@pytest.mark.parametrize(
    ("widths", "color"),
    [((0, 40, 0, 40), "black"), ((60, 0, 60, 0), "black"), ((30, 20, 30, 50), "white"), ((12, 60, 12, 80), "#204060")],
    ids=["letterbox", "pillarbox", "frame", "thin-and-thick"],
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_border_is_found_and_cut_off(widths: tuple[int, int, int, int], color: str, kind: str) -> None:
    """Exactly in a lossless file, within a pixel or two in a JPEG; without the option it is only reported."""
    data = encoded(framed(picture(), *widths, color), kind)
    loaded, quality = examined(data, crop_borders=True)
    assert quality.border is not None
    found = quality.border
    off = [abs(one - two) for one, two in zip((found.left, found.top, found.right, found.bottom), widths, strict=True)]
    assert max(off) <= (0 if kind == "PNG" else 2)
    assert quality.cropped
    assert max(abs(loaded.image.width - 320), abs(loaded.image.height - 240)) <= 4
    loaded, quality = examined(data)
    assert (quality.border, quality.cropped) == (found, False)
    assert loaded.image.size == framed(picture(), *widths).size


def test_a_border_of_a_large_image_is_cut_off_before_it_is_scaled() -> None:
    """The rest has as many pixels as the canonical form may have."""
    data = encoded(framed(picture(1_600, 1_200), 400, 400, 400, 400, "black"))
    loaded, quality = examined(data, crop_borders=True)
    assert quality.border is not None
    assert abs(quality.border.left - 400) <= 3
    assert max(loaded.image.size) == 1024


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_border_is_reported_as_the_image_is_seen(orientation: int) -> None:
    """After the orientation that EXIF states."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(framed(picture(), 0, 60, 0, 40), "JPEG", quality=95, exif=exif)
    loaded, quality = examined(data)
    assert quality.border is not None
    seen = find_border(loaded.image)
    assert seen is not None
    for side in ("left", "top", "right", "bottom"):
        assert abs(getattr(quality.border, side) - getattr(seen, side)) <= 2


@pytest.mark.parametrize(
    "image",
    [
        picture(),
        framed(picture(80, 60), 120, 90, 120, 90, "white").filter(ImageFilter.GaussianBlur(24)),
        Image.new("RGB", (200, 200), "white"),
        noise(40, 8),
        framed(picture(), 0, 60, 0, 0, "#182850"),
        Image.blend(framed(picture(), 40, 40, 40, 40, "white"), noise(400, 320), 0.03),
    ],
    ids=["none", "soft-edge", "blank", "tiny", "one-side", "uneven"],
)
def test_what_is_no_border(image: Image.Image) -> None:
    """No straight edge, or nothing left."""
    assert find_border(image) is None


def test_an_object_on_a_plain_background_keeps_its_background() -> None:
    """It touches the first line that is not plain in a few places only."""
    image = Image.new("RGB", (400, 400), "white")
    disk = Image.new("L", (200, 200), 0)
    disk.paste(255, mask=Image.radial_gradient("L").resize((200, 200)).point(lambda value: 255 * (value < 170)))
    image.paste(picture(200, 200), (100, 100), disk)
    assert find_border(image) is None


def test_borders_are_scaled_upward() -> None:
    """A fraction of a pixel of the border must not stay."""
    assert Border(1, 0, 3, 2, "#000000").scaled(1.5) == Border(2, 0, 5, 3, "#000000")


@pytest.mark.parametrize("quality", [30, 50, 75, 85, 90, 95])
def test_the_quality_of_a_jpeg_is_found_in_its_tables(quality: int) -> None:
    """As libjpeg defines it; the expected share of unchanged answers falls with it."""
    found = examined(encoded(picture(), "JPEG", quality=quality))[1]
    assert found.jpeg_quality is not None
    assert abs(found.jpeg_quality - quality) <= 1
    assert (found.same_answer is None) == (quality == 95)
    assert any(f"JPEG of quality {found.jpeg_quality}" in note for note in found.notes) == (quality < 95)


def test_other_formats_have_no_jpeg_quality() -> None:
    """Nor a loss that was measured."""
    quality = examined(encoded(picture()))[1]
    assert (quality.jpeg_quality, quality.same_answer, quality.notes) == (None, None, ())


@pytest.mark.parametrize("method", [Image.Resampling.LANCZOS, Image.Resampling.NEAREST])
def test_enlarged_images_are_recognized(method: Image.Resampling) -> None:
    """Interpolated ones by their missing detail, others by their blocks."""
    small = picture(200, 160)
    assert not looks_enlarged(small)
    assert looks_enlarged(small.resize((400, 320), method))


@pytest.mark.parametrize("size", [(1, 900), (900, 1), (1_200, 200)])
def test_a_strip_is_reported(size: tuple[int, int]) -> None:
    """An embedder sees little of it."""
    assert any("strip" in note for note in examined(encoded(noise(*size)))[1].notes)


def test_a_thumbnail_is_reported() -> None:
    """With the loss that was measured at half the size."""
    quality = examined(encoded(picture(120, 90)))[1]
    assert any("only 120×90 pixels" in note for note in quality.notes)
    assert quality.same_answer == 0.94


def test_the_largest_page_of_a_tiff_is_used() -> None:
    """The first one may be a thumbnail."""
    data = animation([picture(32, 24), picture(320, 240), picture(64, 48)], "TIFF")
    loaded, quality = examined(data)
    assert (loaded.width, loaded.height, quality.frame, quality.frames) == (320, 240, 2, 3)


def test_nothing_is_examined_unless_asked() -> None:
    """Generated images are loaded as they are."""
    loaded = load(BytesIO(encoded(framed(picture(), 40, 40, 40, 40))), ImageLimits(crop_borders=True))
    assert (loaded.quality, loaded.image.size) == (None, (400, 320))
