"""The canonical form: always the middle square, 256×256, after one JPEG compression."""

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from attribution.canonical import QUALITY, SIDE, canonical


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """Pixels that no filter leaves alone."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@settings(max_examples=12)
@given(width=st.integers(1, 700), height=st.integers(1, 700))
def test_every_size_becomes_the_same(width: int, height: int) -> None:
    """RGB of 256×256, and the same each time, from one pixel on."""
    image = noise(width, height)
    form = canonical(image)
    assert (form.mode, form.size) == ("RGB", (SIDE, SIDE))
    assert form.tobytes() == canonical(image).tobytes()


def test_of_this_size_it_is_one_compression() -> None:
    """A square of 256 pixels is only compressed, with quality 90: as Pillow alone writes and reads it."""
    image = noise(SIDE, SIDE)
    file = BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    assert QUALITY == 90
    assert canonical(image).tobytes() == Image.open(file).tobytes()


@pytest.mark.parametrize("wide", [True, False])
def test_only_the_middle_square_counts(wide: bool) -> None:
    """What lies beside it changes nothing; what lies in it does."""
    pixels = np.array(noise(600, 400) if wide else noise(400, 600))
    beside, within = pixels.copy(), pixels.copy()
    ends = (slice(None), [*range(90), *range(510, 600)]) if wide else ([*range(90), *range(510, 600)], slice(None))
    beside[ends] = 0
    within[200, 300] = within[300, 200] = 255 - within[200, 300]
    form, same, other = (canonical(Image.fromarray(each)).tobytes() for each in (pixels, beside, within))
    assert form == same != other


def test_file_format_and_size_say_little() -> None:
    """A photograph-like image, enlarged or compressed before, is nearly the same afterwards."""
    image = noise(8, 8).resize((512, 512), Image.Resampling.BICUBIC)
    file = BytesIO()
    image.save(file, "WEBP", quality=90)
    form = np.asarray(canonical(image), float)
    for other in (image.resize((1024, 1024), Image.Resampling.LANCZOS), Image.open(file)):
        assert np.abs(np.asarray(canonical(other), float) - form).mean() < 2
