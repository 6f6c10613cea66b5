"""Images for comparing hashes with the reference's: whole-number arithmetic alone, so the same on every computer.

`python -m tests.workers.screening.pdq_images` writes pdq_reference.csv again. That needs pdqhash 0.2.8, the reference,
which the project does not install: `pip install pdqhash==0.2.8`, with a C++ compiler.
"""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

REFERENCE = Path(__file__).with_name("pdq_reference.csv")

# Where the algorithm has edges: too small, its own size, one pixel beside a wider filter, long and thin.
_EDGES = [(4, 40), (5, 5), (16, 16), (64, 64), (65, 63), (128, 128), (129, 128), (128, 257), (1500, 16), (16, 1500)]
_COUNT = 240


def random_bytes(seed: int, *shape: int) -> np.ndarray:
    """SplitMix64, the upper byte of each number."""
    state = (np.arange(1, np.prod(shape) + 1, dtype=np.uint64) + np.uint64(seed << 32)) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((state ^ (state >> np.uint64(31))) >> np.uint64(56)).astype(np.int64).reshape(shape)


def noise(seed: int, width: int, height: int) -> np.ndarray:
    """Each pixel by itself."""
    return random_bytes(seed, height, width, 3)


def texture(seed: int, width: int, height: int) -> np.ndarray:
    """A coarse grid of colors, interpolated."""
    rows, columns = 3 + random_bytes(seed, 2) % 14
    grid = random_bytes(seed + 1, rows + 1, columns + 1, 3)
    y, x = np.arange(height) * rows * 256 // height, np.arange(width) * columns * 256 // width
    grid = grid[y >> 8] * (256 - (y & 255))[:, None, None] + grid[(y >> 8) + 1] * (y & 255)[:, None, None]
    grid = grid[:, x >> 8] * (256 - (x & 255))[:, None] + grid[:, (x >> 8) + 1] * (x & 255)[:, None]
    return grid >> 16


def grainy(seed: int, width: int, height: int) -> np.ndarray:
    """A texture with noise on it, as a photograph has it."""
    return np.clip(texture(seed, width, height) + noise(seed, width, height) // 8 - 16, 0, 255)


def gradient(seed: int, width: int, height: int) -> np.ndarray:
    """Slopes that begin anew at 256, one per channel."""
    down, across = random_bytes(seed, 2, 3) * 6
    y, x = np.arange(height)[:, None, None], np.arange(width)[:, None]
    return (y * down // height + x * across // width) % 256


def shapes(seed: int, width: int, height: int) -> np.ndarray:
    """Rectangles and ellipses over each other."""
    pixels = np.zeros((height, width, 3), np.int64) + random_bytes(seed, 3)
    y, x = np.arange(height)[:, None] * 256 // height, np.arange(width) * 256 // width
    for round_, top, left, rows, columns, *color in random_bytes(seed + 1, 20, 8):
        dy, dx = (y - top) * 256 // (rows // 2 + 8), (x - left) * 256 // (columns // 2 + 8)
        inside = dy**2 + dx**2 < 65536 if round_ & 1 else (abs(dy) < 256) & (abs(dx) < 256)
        pixels[inside] = color
    return pixels


def figure(seed: int, width: int, height: int) -> np.ndarray:
    """A pixel figure in six colors on a flat ground, as the demo models make them; symmetric where the seed is even."""
    colors = random_bytes(seed, 6, 3)
    cells = np.zeros((24, 24), np.int64)
    cells[5:, 4:12] = random_bytes(seed + 1, 19, 8) % 6
    cells[:, 12:] = cells[:, 11::-1]
    if seed & 1:
        cells[8:14, 12:] = random_bytes(seed + 2, 6, 12) % 6
    return colors[cells][np.arange(height) * 24 // height][:, np.arange(width) * 24 // width]


KINDS: dict[str, Callable[[int, int, int], np.ndarray]] = {
    kind.__name__: kind for kind in (noise, texture, grainy, gradient, shapes, figure)
}


def image_of(kind: str, seed: int, width: int, height: int) -> Image.Image:
    """The RGB image that a line of the reference names."""
    return Image.fromarray(KINDS[kind](seed, width, height).astype(np.uint8))


def _described() -> Iterator[tuple[str, int, int, int]]:
    """What is hashed: the edges in every kind, then sizes from 16 to 415, and from 16 to 1500 one in five times."""
    edges = [(kind, size) for size in _EDGES for kind in KINDS]
    for seed in range(_COUNT):
        if seed < len(edges):
            kind, (width, height) = edges[seed]
        else:
            kind = list(KINDS)[seed % len(KINDS)]
            sides = random_bytes(seed, 2, 2) @ [1, 256] % (400 if seed % 5 else 1485) + 16
            width, height = map(int, sides)
        yield kind, seed, width, height


def _write_reference() -> None:
    import pdqhash

    with REFERENCE.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["kind", "seed", "width", "height", "quality", "hashes"])
        for number, described in enumerate(_described()):
            bits, quality = pdqhash.compute_dihedral(np.asarray(image_of(*described)))
            hashes = [row.tobytes().hex() for row in np.packbits(np.asarray(bits, np.uint8), axis=1)]
            # All eight, one in ten times; the others follow from the same coefficients.
            rows.writerow([*described, quality, " ".join(hashes if number % 10 == 0 else hashes[:1])])


if __name__ == "__main__":
    _write_reference()
