"""A catalogue of fakes, and datasets that they draw in a second."""

from collections.abc import Callable
from pathlib import Path

import pytest

from attribution.build import Placement
from attribution.catalogue import load_catalogue
from benchmark.characters import cast
from benchmark.make import Recipe
from benchmark.studio import Equipment, Studio
from zoo.captions import Split

FAKE = """schema = 1
id = "{name}"
name = "{name}"
enabled = true
family = "fake"
platform = "local"
model = "{name}"
revision = "1"
licence = "none"
memory_mb = 1
adapter = "fake"
[parameters]
{parameters}
"""


def write_fakes(directory: Path, parameters: str = "", names: str = "abcde") -> Path:
    """A catalogue directory with a fake for each letter."""
    directory.mkdir(exist_ok=True)
    for name in names:
        text = FAKE.format(name=f"fake-{name}", parameters=parameters)
        (directory / f"fake-{name}.toml").write_text(text)
    return directory


@pytest.fixture(scope="session")
def fakes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue of five fakes."""
    return write_fakes(tmp_path_factory.mktemp("catalogue") / "sources")


@pytest.fixture
def studio(fakes: Path, tmp_path: Path) -> Studio:
    """Draws here, in this process."""
    return Studio(Equipment((fakes,), tmp_path / "store", "fake:", Placement()), 1)


@pytest.fixture
def recipe(fakes: Path) -> Callable[..., Recipe]:
    """A recipe from letters of fakes: ten characters, so that one of them is on the test side."""

    def build(core: str = "abc", extension: str = "", candidates: int = 1, captioner: str = "fake:") -> Recipe:
        catalogue = load_catalogue([fakes])
        parts = [tuple(catalogue.get(f"fake-{name}") for name in names) for names in (core, extension)]
        return Recipe(cast(10, Split.TEST, 0), *parts, candidates, captioner, "test")

    return build
