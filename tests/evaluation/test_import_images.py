"""Importing images in the published layout, with its endings, its extension and ours."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from attribution.embed.fake import FakeEmbedder
from attribution.errors import ConfigurationError
from evaluation import layout
from evaluation.characters import Side, sides
from evaluation.features import embed
from evaluation.generation import GenerationPool
from evaluation.import_images import import_images
from evaluation.make import DatasetRecipe, make
from evaluation.store import Store

ENDINGS = {"bing": "-firefox-0.jpg", "firefly": "-0.png", "imagen": ".jpg"}


def _picture(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (number * 20, len(path.parts), hash(path.name) % 200)).save(path)


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """Three core sources, ten people, two sources of the extension for the one test person, counted from 0 there."""
    root = tmp_path / "Dataset"
    test = sides(10)[Side.TEST][0]
    later = ["Pixart", "AuraFlow"]
    for of in ENDINGS:
        for number in range(1, 11):
            _picture(root / "images" / of / f"{number:05d}{ENDINGS[of]}", number)
            for source in ENDINGS:
                _picture(root / "images" / of / "images" / source / f"{number:05d}{ENDINGS[source]}", number)
    expansion = root / "expansion_images"
    for of in later:
        _picture(expansion / "New Tests" / of / f"img_{test}.png", test)
    for of in (*ENDINGS, *later):
        for source in (*ENDINGS, *later):
            if of in later or source in later:
                _picture(expansion / "Regenerations" / of / source / f"img_{test}.png", test)
    return root


def test_the_published_layout_becomes_a_dataset(theirs: Path, tmp_path: Path) -> None:
    """All images, their order of sources, their split, and the extension on the test person only."""
    dataset = import_images(theirs, tmp_path / "out")
    assert dataset.sources == ("bing", "firefly", "imagen", "AuraFlow", "Pixart")
    assert [source["part"] for source in dataset.manifest["sources"]] == ["core"] * 3 + ["extension"] * 2
    assert (dataset.manifest["originals"], dataset.manifest["resyntheses"]) == (30 + 2, 90 + 2 * 5 + 3 * 2)
    assert {item.side for item in dataset.items if item.of == "Pixart"} == {Side.TEST}
    assert list(dataset.problems()) == []
    features = embed(dataset, FakeEmbedder(), Store(tmp_path / "store"))
    assert features.of(["bing", "firefly", "imagen"]).originals.shape == (3, 10, 64)
    assert features.of().originals.shape == (5, 1, 64)


def test_of_several_endings_the_first_published_counts(tmp_path: Path) -> None:
    """Chrome's image before Firefox's, PNG before JPEG."""
    for ending in ("-firefox-0.jpeg", "-firefox-0.png", "-chrome-0.jpg"):
        _picture(tmp_path / "images" / "bing" / f"00001{ending}", 1)
    assert str(layout.find_original(tmp_path, "bing", 1)).endswith("-firefox-0.png")


def test_what_we_make_can_be_imported(
    recipe: Callable[..., DatasetRecipe], pool: GenerationPool, tmp_path: Path
) -> None:
    """A generated dataset is in the published layout: the same images on the same sides, all γ of them."""
    made = make(recipe("ab", images_per_source=3), pool, tmp_path / "made")
    imported = import_images(tmp_path / "made", tmp_path / "out")
    assert imported.images_per_source == 3
    assert {(item.file, item.sha256, item.side) for item in imported.items} == {
        (item.file, item.sha256, item.side) for item in made.items
    }


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    """With what was expected; and characters count from one."""
    with pytest.raises(ConfigurationError, match="images/<source>"):
        import_images(tmp_path, tmp_path / "out")
    _picture(tmp_path / "images" / "bing" / "00002.png", 2)
    with pytest.raises(ConfigurationError, match="character 1"):
        import_images(tmp_path, tmp_path / "out")
