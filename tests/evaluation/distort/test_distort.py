"""Distortions: seeded, within their ranges, and what their names say."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attribution.embed.open_clip import OpenClipEmbedder
from evaluation.distort import DISTORTIONS, SAME_IMAGE, distort
from evaluation.distort.distortions import center_crop, gradient_noise, jpeg, median, resize, white
from evaluation.robustness import EPSILON, attack

CLIP = Path(__file__).parents[3] / "zoo/models/clip"
DICE = np.random.default_rng(0)
WIDE = Image.fromarray(
    np.kron(DICE.integers(0, 256, (8, 12, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
)  # 96 × 64 pixels of blocks


def test_all_of_the_published_scripts_are_there() -> None:
    """Seventeen of R; blur and resizing of G (its JPEG is among R's)."""
    families = [each.family for each in DISTORTIONS.values()]
    assert (families.count("R"), families.count("G")) == (17, 2)


@pytest.mark.parametrize("name", [*DISTORTIONS, *SAME_IMAGE])
def test_a_picture_is_distorted_in_the_same_way_again(name: str) -> None:
    """By its hash and the seed; RGB goes in and comes out, and something has happened to it."""
    distortion = {**DISTORTIONS, **SAME_IMAGE}[name]
    first, again = (distort(distortion, WIDE, "an image") for _ in range(2))
    assert first.mode == "RGB"
    assert first.tobytes() == again.tobytes()
    if name != "cmyk":  # Pillow's way there and back is exact
        assert first.size != WIDE.size or first.tobytes() != WIDE.tobytes()


@pytest.mark.parametrize("name", ["jpeg", "resize", "white-noise", "rotation"])
def test_another_picture_or_seed_has_other_parameters(name: str) -> None:
    """Generated per image, not per run."""
    distortion = DISTORTIONS[name]
    made = [distort(distortion, WIDE, *question) for question in (("a", 0), ("b", 0), ("a", 1))]
    assert len({(image.size, image.tobytes()) for image in made}) == 3


def test_parameters_keep_to_their_ranges() -> None:
    """And reach both ends of them."""
    dice = np.random.default_rng(1)
    widths = [resize(0.4, 2.0)(WIDE, dice).width / 96 for _ in range(300)]
    assert 0.39 < min(widths) < 0.45 < 1.95 < max(widths) < 2.01
    shares = [center_crop(0.5, 0.9)(WIDE, dice).height / 64 for _ in range(300)]
    assert 0.49 < min(shares) < 0.55 < 0.85 < max(shares) < 0.91
    gray = Image.new("RGB", (96, 96), (128, 128, 128))
    sigmas = [np.asarray(white(16, 64)(gray, dice), float).std() for _ in range(100)]
    assert 15 < min(sigmas) < 22 < 50 < max(sigmas) < 64.5
    sizes = {median((3, 5, 7))(WIDE, dice).tobytes() for _ in range(40)}
    assert len(sizes) == 3
    files = {jpeg(50, 52)(WIDE, dice).tobytes() for _ in range(60)}
    expected = set()
    for quality in (50, 51, 52):
        WIDE.save(file := io.BytesIO(), "JPEG", quality=quality)
        expected.add(Image.open(file).tobytes())
    assert files == expected


def test_platforms_shrink_what_is_too_large_only() -> None:
    """A smaller image keeps its size."""
    assert distort(DISTORTIONS["social"], WIDE, "x").size == (96, 64)
    assert distort(DISTORTIONS["social"], WIDE.resize((2160, 1440)), "x").size == (1080, 720)


def test_gradient_noise_is_smooth_and_nothing_on_its_lattice() -> None:
    """Perlin's: zero at every lattice point, between −1 and 1, without jumps."""
    field = gradient_noise(64, 96, 8, np.random.default_rng(2))
    assert np.abs(field[::8, ::8]).max() < 1e-12
    assert 0.3 < np.abs(field).max() <= 1
    assert np.abs(np.diff(field, axis=0)).max() < 0.5
    assert np.abs(np.diff(field, axis=1)).max() < 0.5


def test_the_attack_keeps_its_bound_and_beats_noise_of_the_same_bound() -> None:
    """No channel is further off than four of 255, and features are moved much further than by chance."""
    embedder = OpenClipEmbedder(f"local-dir:{CLIP}")
    originals = [WIDE.crop((left, 0, left + 64, 64)) for left in (0, 32)]
    attacked = attack(embedder, originals, ["a", "b"])
    again = attack(embedder, originals, ["a", "b"])
    assert [image.tobytes() for image in attacked] == [image.tobytes() for image in again]
    levels = round(255 * EPSILON)
    noise = []
    for original, image in zip(originals, attacked, strict=True):
        before, after = (np.asarray(each, int) for each in (original, image))
        assert 0 < np.abs(after - before).max() <= levels
        by_chance = before + np.random.default_rng(3).choice([-levels, levels], before.shape)
        noise.append(Image.fromarray(np.clip(by_chance, 0, 255).astype(np.uint8)))
    clean, moved, noisy = (embedder.embed(each) for each in (originals, attacked, noise))
    assert ((1 - (clean * moved).sum(1)) > 5 * (1 - (clean * noisy).sum(1))).all()
