"""Generates the sample image of `make demo`: `python -m zoo.samples.generate`. The file does not name the source."""

from pathlib import Path

from attribution.build import Placement, build_generator
from attribution.catalog import load_catalog
from attribution.image import encode_png
from attribution.ports import Deadline
from zoo.captions import Split, sample
from zoo.paths import SOURCES
from zoo.trial import QUERY_SEEDS

SOURCE = "zoo-mmdit"
NUMBER = 1  # a face of the test split whose nearest source is the right one


def main() -> None:
    """Writes sample.png beside this file."""
    face = sample(Split.TEST, NUMBER + 1, seed=0)[NUMBER]
    generator = build_generator(load_catalog([SOURCES]).get(SOURCE), Placement())
    (generated_image,) = generator.generate(face.caption, [QUERY_SEEDS + NUMBER], Deadline.after(60))
    Path(__file__).with_name("sample.png").write_bytes(encode_png(generated_image.image))
    print(face.caption)


if __name__ == "__main__":
    main()
