"""The fourteen sources as they are shipped: frozen, small, overlapping, and generated with as the catalog says."""

import json
from collections import Counter

import numpy as np
import pytest

from attribution.ports import Deadline
from attribution.weights import digest_of_directory
from zoo import freeze, probe
from zoo.captions import Split, sample, words
from zoo.diffuse import MIXES
from zoo.paths import MODELS

KEYS = [entry.key for entry in freeze.ENTRIES]


def test_core_and_extension() -> None:
    """Four of the core are enabled: those that calibration.json is valid for."""
    assert Counter(entry.core for entry in freeze.ENTRIES) == {True: 10, False: 4}
    assert [entry.key for entry in freeze.ENTRIES if entry.enabled] == ["unet", "lcm", "dit", "mmdit"]


def test_no_style_belongs_to_one_source() -> None:
    """Whatever a source learned to generate, another learned too; every mix is whole."""
    learned = Counter(style for mix in MIXES.values() for style in mix)
    assert set(MIXES) >= set(KEYS)
    assert min(learned.values()) >= 2
    assert all(sum(mix.values()) == pytest.approx(1.0) for mix in MIXES.values())


def test_weights_are_the_frozen_ones_and_small() -> None:
    """Hashes and catalog entries are those of the files; all together weigh at most 80 MB."""
    for path, content in freeze.files().items():
        assert path.read_text() == content, path.name
    weights = [path for path in MODELS.rglob("*.safetensors") if not path.is_symlink()]
    assert sum(path.stat().st_size for path in weights) <= freeze.LIMIT


def test_models_name_no_path_of_the_machine_that_trained_them() -> None:
    """It would mean nothing elsewhere, and be part of the revision."""
    configs = list(MODELS.rglob("*.json"))
    assert configs
    assert [path for path in configs if '_path": "/' in path.read_text()] == []


def test_captions_were_probed_with_these_weights() -> None:
    """The report is about the files that are here, and every source is in it."""
    measured = json.loads(probe.REPORT.read_text())["sources"]
    assert {key: each["revision"] for key, each in measured.items()} == {
        key: digest_of_directory(MODELS / key) for key in KEYS
    }


def test_shared_files_are_links_that_stay_inside() -> None:
    """A link is relative and leads to another source's file, so that the folder can be moved as a whole."""
    for path in MODELS.rglob("*"):
        if path.is_symlink():
            assert not path.readlink().is_absolute()
            assert path.resolve().is_relative_to(MODELS)
            assert path.resolve().is_file()


@pytest.mark.parametrize("key", KEYS)
def test_an_image_depends_on_caption_and_seed_alone(key: str) -> None:
    """64×64 pixels, the same ones whatever is generated beside them, others for another seed."""
    source = freeze.generator(key)
    caption = sample(Split.CALIBRATION, 1, seed=2)[0].caption
    alone, *_ = source.generate(caption, [7], Deadline.after(300))
    beside, other = source.generate(caption, [7, 8], Deadline.after(300))
    pixels = [np.asarray(generated_image.image).astype(int) for generated_image in (alone, beside, other)]
    assert pixels[0].shape == (64, 64, 3)
    assert np.abs(pixels[0] - pixels[1]).mean() < 1.0
    assert np.abs(pixels[0] - pixels[2]).mean() > 1.0
    assert source.remark(caption) is None


def test_every_tokenizer_gives_a_word_the_same_id() -> None:
    """Pieces of words may be numbered otherwise, by ties in training; what captions are made of is not."""
    files = [*MODELS.glob("*/tokenizer/tokenizer.json"), MODELS / "clip" / "tokenizer.json"]
    ids = {tuple(json.loads(file.read_text())["model"]["vocab"][f"{word}</w>"] for word in words()) for file in files}
    assert len(files) > 2
    assert len(ids) == 1
