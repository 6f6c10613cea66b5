"""Datasets on disk: what makes one worthless is found."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from attribution.errors import ConfigurationError
from evaluation.characters import Side
from evaluation.dataset import Dataset
from evaluation.generation import GenerationPool
from evaluation.make import DatasetRecipe, make


@pytest.fixture
def dataset(recipe: Callable[..., DatasetRecipe], pool: GenerationPool, tmp_path: Path) -> Dataset:
    """A sound one."""
    return make(recipe("ab"), pool, tmp_path / "out")


def test_a_character_on_both_sides_is_found(dataset: Dataset) -> None:
    """One image of a training character among the test images is enough."""
    at = next(k for k, item in enumerate(dataset.items) if item.side is Side.TRAIN and item.source)
    items = [*dataset.items[:at], replace(dataset.items[at], side=Side.TEST), *dataset.items[at + 1 :]]
    (problem,) = replace(dataset, items=tuple(items)).problems()
    assert "more than one side: test, train" in problem


def test_two_numbers_for_one_character_are_found(dataset: Dataset) -> None:
    """Characters are what they look like: the same description on both sides is the same character."""
    characters = [dict(entry) for entry in dataset.manifest["characters"]]
    by_side = {entry["side"]: entry for entry in characters}
    by_side["test"]["description"] = by_side["train"]["description"]
    (problem,) = replace(dataset, manifest={**dataset.manifest, "characters": characters}).problems()
    assert "more than one side" in problem


def test_a_seed_for_both_is_found(dataset: Dataset) -> None:
    """An original's noise among the resyntheses, also 2³² higher."""
    seed = dataset.items[0].seed
    assert seed is not None
    last = replace(dataset.items[-1], seed=seed + 2**32)
    (problem,) = replace(dataset, items=(*dataset.items[:-1], last)).problems()
    assert problem.startswith("1 seeds are shared")


def test_pictures_that_changed_or_went_are_found(dataset: Dataset) -> None:
    """By their hashes."""
    first, second = (dataset.directory / item.file for item in dataset.items[:2])
    first.unlink()
    content = second.read_bytes()
    second.unlink()  # it is a link into the store
    second.write_bytes(content + b"x")
    assert [problem.split()[-1] for problem in dataset.problems()] == ["missing.", "generated."]


def test_a_directory_without_manifest_is_not_finished(dataset: Dataset) -> None:
    """It says what to do."""
    (dataset.directory / "manifest.json").unlink()
    with pytest.raises(ConfigurationError, match="not a finished dataset"):
        Dataset.open(dataset.directory)
