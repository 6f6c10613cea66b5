"""A catalog of fakes, and datasets that they generate in a second."""

from collections.abc import Callable
from pathlib import Path

import pytest

from attribution.build import Placement
from attribution.catalog import load_catalog
from evaluation.characters import select_characters
from evaluation.generation import GenerationPool, ModelSet
from evaluation.make import DatasetRecipe
from zoo.captions import Split

FAKE = """schema = 1
id = "{name}"
name = "{name}"
enabled = true
family = "fake"
platform = "local"
model = "{name}"
revision = "1"
license = "none"
memory_mb = 1
adapter = "fake"
[parameters]
{parameters}
"""


def write_fakes(directory: Path, parameters: str = "", names: str = "abcde") -> Path:
    """A catalog directory with a fake for each letter."""
    directory.mkdir(exist_ok=True)
    for name in names:
        text = FAKE.format(name=f"fake-{name}", parameters=parameters)
        (directory / f"fake-{name}.toml").write_text(text)
    return directory


@pytest.fixture(scope="session")
def fakes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog of five fakes."""
    return write_fakes(tmp_path_factory.mktemp("catalog") / "sources")


@pytest.fixture
def pool(fakes: Path, tmp_path: Path) -> GenerationPool:
    """Generates here, in this process."""
    return GenerationPool(ModelSet((fakes,), tmp_path / "store", "fake:", Placement()), 1)


@pytest.fixture
def recipe(fakes: Path) -> Callable[..., DatasetRecipe]:
    """A recipe from letters of fakes: ten characters, so that one of them is on the test side."""

    def build(
        core: str = "abc", extension: str = "", images_per_source: int = 1, captioner: str = "fake:"
    ) -> DatasetRecipe:
        catalog = load_catalog([fakes])
        first, more = (tuple(catalog.get(f"fake-{name}") for name in names) for names in (core, extension))
        return DatasetRecipe(select_characters(10, Split.TEST, 0), first, more, images_per_source, captioner, "test")

    return build
