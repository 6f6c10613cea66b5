"""`python -m zoo.contact`: the same captions by every source, one row a source, for the README."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from attribution.ports import Deadline
from zoo import loop
from zoo.captions import Split, sample
from zoo.data import sheet
from zoo.freeze import ENTRIES, generator

SHEET = Path(__file__).parent / "sheet.png"
CAPTIONS = 8
MARGIN = 90  # for the names
SEED = 7


def main() -> None:
    """Generates captions of the calibration split, each with the same seed by every source."""
    loop.configure()
    faces = sample(Split.CALIBRATION, CAPTIONS, seed=5)
    cells = []
    for entry in ENTRIES:
        source = generator(entry.key)
        generated = [source.generate(face.caption, [SEED + n], Deadline.after(600))[0] for n, face in enumerate(faces)]
        cells += [np.asarray(generated_image.image) for generated_image in generated]
        print(entry.key, flush=True)
    rows = sheet(cells, CAPTIONS, zoom=1)
    picture = Image.new("RGB", (MARGIN + rows.width, rows.height), "white")
    picture.paste(rows, (MARGIN, 0))
    pen = ImageDraw.Draw(picture)
    for number, entry in enumerate(ENTRIES):
        pen.text((6, 64 * number + 26), entry.key, fill="black")
    picture.save(SHEET, optimize=True)
    for face in faces:
        print(face.caption)


if __name__ == "__main__":
    main()
