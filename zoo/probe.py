"""Do the sources follow their captions? `python -m zoo.probe [SOURCE…]` compares colors of pixels with the captions.

Background: the palette's color nearest to the median of the two upper corners. Hair and skin: a ridge regression each
on the image's colors, averaged over blocks of 4×4 pixels, and their squares. They are fitted to avatars only, never to
generated images. Their accuracy on held-out avatars is reported: no source can do better.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import typer
from numpy.typing import NDArray

from attribution.ports import Deadline
from attribution.weights import digest_of_directory
from zoo import loop
from zoo.captions import BACKGROUNDS, HAIRS, SKINS, Face, Split, parse, sample
from zoo.data import Avatars, training_avatars
from zoo.freeze import KEYS, Keys, generator
from zoo.paths import MODELS

CAPTIONS = 100  # per source, from the calibration split
SEED = 31
NEEDED = 0.80
REPORT = MODELS / "probe.json"
VALUES = {"background": BACKGROUNDS, "hair": HAIRS, "skin": SKINS}
HELD_OUT = 2800
RIDGE = 30.0
PAPER = {
    "blue": (182, 227, 244),
    "pink": (255, 213, 220),
    "lavender": (209, 212, 249),
    "green": (200, 242, 194),
    "yellow": (255, 243, 176),
    "gray": (217, 217, 217),
}


@dataclass(frozen=True)
class Probe:
    """A fitted matrix each for hair and skin, and the accuracy of all three attributes on held-out avatars."""

    matrices: dict[str, NDArray[np.float32]]
    ceiling: dict[str, float]

    @classmethod
    def learn(cls, avatars: Avatars, held_out: int = HELD_OUT) -> Probe:
        """Fits both matrices and measures all three attributes on held-out avatars."""
        order = np.random.default_rng(0).permutation(len(avatars))
        held, known = order[:held_out], order[held_out:]
        seen = features(avatars.pixels[known])
        described = [face for caption in avatars.captions if (face := parse(caption)) is not None]
        covariance = seen.T @ seen + RIDGE * np.eye(seen.shape[1], dtype=np.float32)
        matrices = {}
        for key in ("hair", "skin"):
            values = VALUES[key]
            true = np.array([values.index(getattr(face, key)) for face in described])[known]
            matrices[key] = np.linalg.solve(covariance, seen.T @ np.eye(len(values), dtype=np.float32)[true])
        probe = cls(matrices, {})
        return cls(matrices, probe.right(avatars.pixels[held], [described[number] for number in held]))

    def read(self, images: NDArray[np.uint8]) -> list[dict[str, str]]:
        """Background, hair and skin of every image."""
        seen = features(images)
        read = {key: (seen @ matrix).argmax(1) for key, matrix in self.matrices.items()}
        papers = backgrounds(images)
        return [
            {"background": papers[row], **{key: VALUES[key][numbers[row]] for key, numbers in read.items()}}
            for row in range(len(images))
        ]

    def right(self, images: NDArray[np.uint8], true: Sequence[Face]) -> dict[str, float]:
        """Share of images whose colors are those of the caption, by attribute."""
        pairs = list(zip(self.read(images), true, strict=True))
        return {
            key: round(sum(found[key] == getattr(face, key) for found, face in pairs) / len(pairs), 4) for key in VALUES
        }


def backgrounds(images: NDArray[np.uint8]) -> list[str]:
    """The palette's color nearest to the upper corners."""
    corners = np.concatenate([images[:, :8, :8].reshape(-1, 64, 3), images[:, :8, -8:].reshape(-1, 64, 3)], 1)
    distance = np.abs(np.median(corners, 1)[:, None] - np.array(list(PAPER.values()))).sum(-1)
    return [list(PAPER)[number] for number in distance.argmin(1)]


def features(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, 64, 64, 3) to (n, 1537): colors of 16×16 blocks in −1…1, their squares, and one."""
    blocks = images.reshape(-1, 16, 4, 16, 4, 3).mean((2, 4), dtype=np.float32).reshape(len(images), -1) / 127.5 - 1
    return np.concatenate([blocks, blocks**2, np.ones((len(images), 1), np.float32)], 1)


def generate(key: str, faces: Sequence[Face]) -> tuple[NDArray[np.uint8], float]:
    """One image a caption by the source, loaded and called as the service does it, and the seconds that each took."""
    source = generator(key)
    source.generate(faces[0].caption, [1], Deadline.after(600))  # the first time is slower
    begun = time.perf_counter()
    generated = [source.generate(face.caption, [SEED + n], Deadline.after(600))[0] for n, face in enumerate(faces)]
    seconds = (time.perf_counter() - begun) / len(faces)
    return np.stack([np.asarray(generated_image.image) for generated_image in generated]), seconds


def main(sources: Keys = None, captions: int = CAPTIONS) -> None:
    """Measures sources, or all. Exits 1 where one does not follow its captions."""
    loop.configure()
    probe = Probe.learn(training_avatars())
    print("held-out avatars".ljust(20), probe.ceiling, flush=True)
    faces = sample(Split.CALIBRATION, captions, SEED)
    known = json.loads(REPORT.read_text())["sources"] if REPORT.exists() else {}
    report: dict[str, dict[str, str | float]] = {}
    obeyed = True
    for key in sources or KEYS:
        images, seconds = generate(key, faces)
        right = probe.right(images, faces)
        report[key] = {"revision": digest_of_directory(MODELS / key), **right}
        weak = [name for name in VALUES if right[name] < NEEDED]
        obeyed = obeyed and not weak
        print(
            key.ljust(20), report[key], f"{seconds:.2f} s an image", *(f"{name} too weak" for name in weak), flush=True
        )
    if captions == CAPTIONS:
        merged = {key: (known | report)[key] for key in KEYS if key in known | report}
        written = {"schema": 1, "captions": CAPTIONS, "held_out_avatars": probe.ceiling, "sources": merged}
        REPORT.write_text(json.dumps(written, indent=2) + "\n")
    raise typer.Exit(not obeyed)


if __name__ == "__main__":
    typer.run(main)
