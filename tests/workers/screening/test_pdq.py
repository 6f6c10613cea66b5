"""Our PDQ is the reference's: pdqhash 0.2.8 hashed the same images once, and pdq_reference.csv has what it said."""

import csv

import numpy as np
from PIL import Image

from app.screening.hash_csv import DEFAULT_DISTANCE
from tests.workers.screening.pdq_images import REFERENCE, image_of
from workers.screening.pdq import dihedral_hashes


def test_hashes_and_quality_are_the_references() -> None:
    """All bits and the quality agree, in 240 images with features and without; all rotations in one of ten."""
    with REFERENCE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 240
    assert sum(int(row["quality"]) >= 50 for row in rows) > 150
    for row in rows:
        hashes, quality = dihedral_hashes(
            image_of(row["kind"], int(row["seed"]), int(row["width"]), int(row["height"]))
        )
        expected = row["hashes"].split()
        assert [each.tobytes().hex() for each in hashes[: len(expected)]] == expected, row
        assert quality == int(row["quality"]), row


def test_variants_are_the_hashes_of_the_turned_images() -> None:
    """Row by row, a variant is within a list's distance of the hash of the rotated or reflected image."""
    image = image_of("texture", 3, 320, 256)
    pixels = np.asarray(image)
    turned = [pixels, np.rot90(pixels, 1), np.rot90(pixels, 2), np.rot90(pixels, 3)]
    turned += [pixels[::-1], pixels[:, ::-1], np.swapaxes(pixels, 0, 1), np.swapaxes(pixels, 0, 1)[::-1, ::-1]]
    hashes, _ = dihedral_hashes(image)
    direct = np.array([dihedral_hashes(Image.fromarray(np.ascontiguousarray(each)))[0][0] for each in turned])
    distances = np.unpackbits(hashes[:, None] ^ direct, axis=2).sum(axis=2)
    assert list(distances.argmin(axis=1)) == list(range(8))
    assert distances.diagonal().max() <= DEFAULT_DISTANCE
