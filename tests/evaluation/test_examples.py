"""Examples are from the test side, chosen automatically, and contain their rankings."""

import base64
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attribution.build import Placement, build_embedder
from evaluation.characters import Side
from evaluation.dataset import Dataset
from evaluation.examples import examples
from evaluation.features import Features, embed
from evaluation.generation import GenerationPool
from evaluation.make import DatasetRecipe, make
from evaluation.store import Store


@pytest.fixture
def made(recipe: Callable[..., DatasetRecipe], pool: GenerationPool, tmp_path: Path) -> tuple[Dataset, Features]:
    """Ten characters by three fakes, which differ in color."""
    dataset = make(recipe(), pool, tmp_path / "set")
    return dataset, embed(dataset, build_embedder("fake:", Placement()), Store(tmp_path / "store"))


def test_a_right_answer_and_no_wrong_one(made: tuple[Dataset, Features]) -> None:
    """With its ranking, nearest first; no answer on the test side is wrong, so there is no such example."""
    dataset, features = made
    found = examples(dataset, features, 2)
    assert found["wrong"] is None
    right = found["right"]
    assert right["side"] == "test"
    assert right["named"] == right["source"] == right["ranking"][0]["source"]
    distances = [each["distance"] for each in right["ranking"]]
    assert distances == sorted(distances)
    assert right["margin"] == pytest.approx(distances[1] - distances[0])
    assert 1 <= right["named_so"] <= right["originals"] == 10
    assert [each["number"] for each in found["zoo"]["characters"]] == [1, 2]
    with Image.open(io.BytesIO(base64.b64decode(found["zoo"]["images"]["fake-b"][1]))) as shown:
        original = next(item for item in dataset.items if item.of == "fake-b" and item.character == 2)
        with Image.open(dataset.directory / original.file) as generated:
            apart = np.asarray(shown, float) - np.asarray(generated.convert("RGB"), float)
    assert np.abs(apart).mean() < 10


def test_the_wrong_one_in_the_middle(made: tuple[Dataset, Features]) -> None:
    """Generated images that changed hands are wrong: of the test side's, the one with the middle margin is shown."""
    dataset, features = made
    exchanged = replace(features, resyntheses=np.roll(features.resyntheses, 1, axis=2))
    found = examples(dataset, exchanged, 1)
    assert found["right"] is None
    (tested,) = (number for number, side in features.side.items() if side is Side.TEST)
    wrong = found["wrong"]
    assert wrong["character"] == tested
    assert wrong["named"] != wrong["source"]
    place = features.characters.index(tested)
    margins = []
    for i in range(3):
        query, generated = features.originals[i, place], exchanged.resyntheses[i, place, :, 0]
        near = np.sort(1 - generated @ query / np.linalg.norm(generated, axis=1) / np.linalg.norm(query))
        margins.append(near[1] - near[0])
    assert wrong["margin"] == pytest.approx(np.median(margins), abs=1e-6)
