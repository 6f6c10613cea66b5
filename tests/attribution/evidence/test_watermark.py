"""Invisible watermarks: found where they were written, not elsewhere, and not after a resize."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attribution.evidence.finding import Kind, Trust
from attribution.evidence.watermark import MARKS, Mark, watermark
from tests.app.images import noise
from tests.attribution.evidence.marking import mark


def query(width: int = 512, height: int = 512) -> Image.Image:
    """Soft colors with much grain, far from black and white: clipping loses the mark, also the real one."""
    soft = noise(9, 9).resize((width, height), Image.Resampling.BICUBIC)
    mild = Image.blend(soft, Image.new("RGB", soft.size, "gray"), 0.6)
    return Image.blend(mild, noise(width, height, seed=1), 0.4)


@pytest.mark.parametrize("known", MARKS, ids=lambda known: known.generator)
def test_a_mark_is_found_and_named(known: Mark):
    """Each by its own bits, and no other with it; also where the sides are no multiples of eight."""
    for size in ((512, 512), (301, 447)):
        (finding,) = watermark(mark(query(*size), known.bits, known.offset))
        assert (finding.kind, finding.trust, finding.generator) == (
            Kind.WATERMARK,
            Trust.SELF_DECLARED,
            known.generator,
        )
        assert finding.says_ai
        assert f"of {len(known.bits)}" in dict(finding.details)["matching_bits"]


@pytest.mark.parametrize("known", MARKS, ids=lambda known: known.generator)
def test_a_resized_mark_is_not_found(known: Mark):
    """JPEG compression removes the mark, as documented."""
    marked = mark(query(), known.bits, known.offset)
    assert watermark(marked.resize((500, 500), Image.Resampling.LANCZOS)) == ()


def test_other_messages_are_not_taken_for_known_ones():
    """A hundred random messages of each length and kind."""
    generator = np.random.default_rng(0)
    for known in MARKS:
        for _ in range(25):
            bits = generator.integers(0, 2, len(known.bits)).astype(bool)
            assert watermark(mark(query(256, 256), bits, known.offset)) == ()


@pytest.mark.parametrize("color", ["black", "white", "red", "blue", (0, 0, 200)])
def test_flat_images_have_none(color: str | tuple[int, int, int]):
    """All their blocks say the same."""
    assert watermark(Image.new("RGB", (512, 512), color)) == ()


def test_sizes_that_cannot_hold_one_are_left_alone():
    """Too small, or long and narrow; and other modes than RGB are taken."""
    assert watermark(noise(255, 256)) == ()
    assert watermark(noise(3, 30_000)) == ()
    assert watermark(noise(2_000, 40)) == ()
    assert watermark(noise(300, 300, "L")) == ()


@pytest.mark.real_data
def test_real_generated_images_carry_none(real_data: Path):
    """Images of other generators, as they are and in the size in which such marks are written."""
    files = sorted(real_data.rglob("*.png"))
    assert len(files) > 100
    for file in files:
        with Image.open(file) as image:
            assert watermark(image) == ()
            assert watermark(image.convert("RGB").resize((512, 512), Image.Resampling.LANCZOS)) == ()
