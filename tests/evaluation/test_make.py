"""Making datasets: the paper's counts, seeds that never meet, no work twice, and being killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from attribution.build import Placement
from attribution.catalog import load_catalog
from attribution.errors import AttributionError
from attribution.resynthesis import derive_seeds
from evaluation import make as making
from evaluation.characters import Side, select_characters
from evaluation.dataset import Dataset
from evaluation.generation import GenerationPool, ModelSet
from evaluation.make import DatasetRecipe, IncompleteDataset, make
from tests.evaluation.conftest import write_fakes
from zoo.captions import Split
from zoo.paths import MODELS, SOURCES

REPOSITORY = Path(__file__).parents[2]
Recipes = Callable[..., DatasetRecipe]


def test_every_source_resynthesizes_every_original(recipe: Recipes, pool: GenerationPool, tmp_path: Path) -> None:
    """Three sources, ten characters, γ = 2: 30 originals, each with two resyntheses by each source of its caption."""
    dataset = make(recipe(images_per_source=2), pool, tmp_path / "out")
    originals = [item for item in dataset.items if item.source is None]
    assert (len(originals), len(dataset.items)) == (30, 30 + 30 * 3 * 2)
    assert all(item.caption and item.caption.startswith("an image in") for item in originals)
    again = [item for item in dataset.items if (item.of, item.character, item.source) == ("fake-a", 4, "fake-b")]
    (original,) = [item for item in originals if (item.of, item.character) == ("fake-a", 4)]
    assert tuple(item.seed for item in again) == derive_seeds(str(original.caption), "fake-b", "1", 2)
    assert Dataset.open(tmp_path / "out") == replace(dataset, items=Dataset.open(tmp_path / "out").items)
    assert list(dataset.problems()) == []


def test_the_extension_generates_test_characters_only(recipe: Recipes, pool: GenerationPool, tmp_path: Path) -> None:
    """The paper's 40, 560 and 400, with three core sources, two later ones and one test character."""
    dataset = make(recipe("abc", "de"), pool, tmp_path / "out")
    later = {"fake-d", "fake-e"}
    originals = [item for item in dataset.items if item.source is None and item.of in later]
    generated_after_them = [item for item in dataset.items if item.source is not None and item.of in later]
    generated_by_them = [item for item in dataset.items if item.source in later and item.of not in later]
    assert (len(originals), len(generated_after_them), len(generated_by_them)) == (2, 2 * 5, 3 * 2)
    assert {item.side for item in (*originals, *generated_after_them, *generated_by_them)} == {Side.TEST}


def test_seeds_of_originals_and_resyntheses_never_meet(recipe: Recipes, pool: GenerationPool, tmp_path: Path) -> None:
    """Not even where only the low half of a seed counts, as it does in torch's generator on the CPU."""
    low, high = (torch.randn(4, generator=torch.Generator().manual_seed(seed)) for seed in (7, 2**32 + 7))
    assert torch.equal(low, high)
    dataset = make(recipe("abcde", images_per_source=4), pool, tmp_path / "out")
    originals = {item.seed for item in dataset.items if item.source is None}
    generated_images = {item.seed for item in dataset.items if item.source is not None}
    assert len(originals) == 50
    assert not {int(str(seed)) % 2**32 for seed in originals} & {int(str(seed)) % 2**32 for seed in generated_images}


def test_seeds_that_meet_are_an_error(
    recipe: Recipes, pool: GenerationPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streams that overlap by bad luck are found before anything is measured."""
    planned = recipe("abc", captioner="given")
    source, character = planned.core[0], planned.characters[0]
    (taken,) = derive_seeds(character.description, source.id, source.revision, 1)
    monkeypatch.setattr(making, "original_seed", lambda *_: taken + 2**32)
    with pytest.raises(AttributionError, match="another --seed"):
        make(planned, pool, tmp_path / "out")


def test_nothing_is_done_twice(recipe: Recipes, pool: GenerationPool, tmp_path: Path) -> None:
    """A rerun does nothing; another source adds its images, a larger γ the additional ones. Captions are kept, too."""
    first = make(recipe("abc"), pool, tmp_path / "out").manifest["last_run"]["made"]
    assert (first["originals"], first["captions"]) == (30, 30)
    again = make(recipe("abc"), pool, tmp_path / "out")
    assert set(again.manifest["last_run"]["made"].values()) == {0}
    before = set(pool.store.directory.rglob("*.png"))
    make(recipe("abcd", images_per_source=2), pool, tmp_path / "more")
    assert before < set(pool.store.directory.rglob("*.png"))
    everything = {item.sha256 for item in again.items}
    assert everything <= {item.sha256 for item in Dataset.open(tmp_path / "more").items}


def test_a_source_that_fails_leaves_no_manifest(recipe: Recipes, fakes: Path, tmp_path: Path) -> None:
    """What was generated is kept, and the sentence says who failed and how."""
    catalog = write_fakes(tmp_path / "sources", names="ab")
    write_fakes(catalog, 'fail = "refused_prompt"', "c")
    parts = load_catalog([catalog]).sources
    pool = GenerationPool(ModelSet((catalog,), tmp_path / "store", "fake:", Placement()), 1)
    with pytest.raises(IncompleteDataset, match=r"10 images .* fake-c: refused_prompt"):
        make(replace(recipe(), core=parts), pool, tmp_path / "out")
    assert len(list((tmp_path / "store").rglob("*.png"))) == 20
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_side_by_itself_is_that_part_of_the_whole(recipe: Recipes, pool: GenerationPool, tmp_path: Path) -> None:
    """The same characters, numbers, sides and images, so that more generated images of some need none of the others."""
    whole = make(recipe(), pool, tmp_path / "whole")
    part = make(replace(recipe(images_per_source=2), only=(Side.TEST,)), pool, tmp_path / "part")
    assert part.sources == whole.sources
    assert {item.side for item in part.items} == {Side.TEST}
    assert len(part.characters) == 1 < len(whole.characters)
    same = {(item.file, item.sha256) for item in whole.items if item.side is Side.TEST}
    assert same < {(item.file, item.sha256) for item in part.items}
    assert len(part.items) == 3 + 3 * 3 * 2


def _command(directory: Path, catalog: Path, store: Path) -> list[str]:
    options = f"--characters 10 --captioner fake: --processes 2 --store {store} --catalog {catalog}"
    return [sys.executable, "-m", "evaluation", "dataset", "make", str(directory), *options.split()]


def _answers(store: Path) -> dict[Path, tuple[int, int]]:
    """Every finished file, with what would change if it were written again."""
    files = [path for path in store.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def test_killed_at_any_point_it_goes_on(recipe: Recipes, tmp_path: Path) -> None:
    """kill -9 while originals, captions, resyntheses are made: nothing finished is made again, the end is the same."""
    catalog = write_fakes(tmp_path / "sources", "sleep_seconds = 0.02", "abc")
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = _command(tmp_path / "out", catalog, tmp_path / "store")
    seen: dict[Path, tuple[int, int]] = {}
    for moment in (4, 40, 65):
        running = subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        while len(_answers(tmp_path / "store")) < moment:
            assert running.poll() is None, "it ended before it was killed"
            time.sleep(0.005)
        running.send_signal(signal.SIGKILL)
        running.communicate()  # ends when its generation processes, which share the output, have ended, too
        assert not (tmp_path / "out" / "manifest.json").exists()
        found = _answers(tmp_path / "store")
        assert seen.items() <= found.items()
        seen = found
    subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, capture_output=True)
    assert seen.items() <= _answers(tmp_path / "store").items()

    sources = load_catalog([catalog]).sources
    undisturbed = GenerationPool(ModelSet((catalog,), tmp_path / "other", "fake:", Placement()), 1)
    expected = make(replace(recipe(), core=sources), undisturbed, tmp_path / "undisturbed")
    assert Dataset.open(tmp_path / "out").items == expected.items
    made = json.loads((tmp_path / "out" / "manifest.json").read_text())["last_run"]["made"]
    assert made["originals"] == 0
    assert made["resyntheses"] < 90


def test_the_zoo_generates_a_dataset(tmp_path: Path) -> None:
    """The real thing in small: two of the demo models, two characters, BLIP, and weights named by their hashes."""
    catalog = load_catalog([SOURCES])
    sources = (catalog.get("zoo-lcm"), catalog.get("zoo-unet"))
    captioner = f"blip:{MODELS / 'captioner'}"
    planned = DatasetRecipe(select_characters(2, Split.TEST, 3), sources, (), 1, captioner, "test")
    placement = Placement(batch_size=1)
    dataset = make(
        planned, GenerationPool(ModelSet((SOURCES,), tmp_path / "store", captioner, placement), 1), tmp_path / "out"
    )
    assert (dataset.manifest["originals"], dataset.manifest["resyntheses"]) == (4, 8)
    assert "skinned person" in str(dataset.items[0].caption)
    weights = dataset.manifest["sources"][0]["weights"]
    assert {len(content) for content in weights.values()} == {64}
    assert any(name.startswith("unet/") for name in weights)
