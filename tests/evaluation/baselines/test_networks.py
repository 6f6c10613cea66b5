"""The baselines that are networks, on easily separable images: they learn, and report their settings."""

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from attribution.errors import ConfigurationError
from evaluation.baselines import efficientnet
from evaluation.baselines.autoencoders import Autoencoders
from evaluation.baselines.baseline import Images
from evaluation.baselines.cells import CharacterSplit
from evaluation.baselines.classifiers import DeFake
from evaluation.baselines.efficientnet import EfficientNet
from evaluation.baselines.lora import ClipLora
from evaluation.baselines.registry import baselines, chosen
from evaluation.store import Store

CLIP = "local-dir:zoo/models/clip"
SHOTS, QUERIES = (0, 1), (2, 3, 4)
Make = Callable[..., Images]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As cells are trained: with so little to multiply, threads wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def images(tmp_path: Path) -> Make:
    """Five images by each source: stripes, upright or lying, or a gradient; features are noise."""

    def make(*sources: str, captioned: bool = False) -> Images:
        random = np.random.default_rng(0)
        ramp = np.broadcast_to(np.arange(64)[:, None], (64, 64))
        looks = [(ramp // 4 % 2) * 255, (ramp.T // 4 % 2) * 255, ramp * 4]
        files = []
        for source, look in zip(sources, looks, strict=False):
            row = []
            for at in range(5):
                noisy = np.clip(look[..., None] + random.normal(scale=12, size=(64, 64, 3)), 0, 255).astype(np.uint8)
                path = tmp_path / f"{source}-{at}.png"
                Image.fromarray(noisy).save(path)
                row.append(path)
            files.append(tuple(row))
        rows = random.normal(size=(len(sources), 5, 192))
        rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
        words = ("a red hat", "a blue shirt", "green hair")
        captions = tuple((words[at],) * 5 for at in range(len(sources))) if captioned else ()
        content = tuple(tuple(f"{path.name}" for path in row) for row in files)
        return Images(sources, "e@1", rows, content, tuple(files), captions)

    return make


def right(scores: np.ndarray, images: Images) -> float:
    """The share of right answers."""
    return float((scores.argmax(axis=1) == images.truth).mean())


def test_de_fake_reads_captions(images: Make) -> None:
    """Features say nothing here, captions all."""
    data = images("a", "b", "c", captioned=True)
    queries = data.columns(QUERIES)
    scores = DeFake(CLIP, most=60).scores(data.columns(SHOTS), queries, 1)
    assert scores.shape == (9, 3)
    assert right(scores, queries) == 1
    assert DeFake(CLIP, most=60).steps(2, 3) == 60
    assert DeFake(CLIP).steps(80, 14) == 1_200


def test_clip_lora_learns_pictures_by_their_names(images: Make) -> None:
    """In a few steps, and with a seed the same again; names with equal tokens are refused."""
    data = images("stripes-up", "stripes-down")
    queries = data.columns(QUERIES)
    lora = ClipLora(CLIP, most=30)
    scores = lora.scores(data.columns(SHOTS), queries, 1)
    assert right(scores, queries) == 1
    assert (lora.scores(data.columns(SHOTS), queries, 1) == scores).all()
    assert (lora.steps(1, 2), ClipLora(CLIP, most=9_999).steps(2, 2)) == (30, 1_000)
    assert [ClipLora(CLIP, most=most).schedule(1).rate for most in (9_999, 500, 250, 1)] == [2e-4, 2e-4, 4e-4, 1e-2]
    with pytest.raises(ConfigurationError, match="names"):
        lora.scores(images("a-b", "a_b").columns(SHOTS), queries, 1)


def test_efficientnet_says_what_it_started_from(images: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From noise it may not be compared; from a file of weights it starts with these."""
    monkeypatch.setattr(efficientnet, "_MODEL", "efficientnet_b0")
    data = images("a", "b")
    noise = EfficientNet(most=1)
    assert (noise.comparable, noise.setting["pretrained"], noise.setting["weights"]) == (False, False, None)
    assert noise.scores(data.columns(SHOTS), data.columns(QUERIES), 1).shape == (6, 2)
    known = timm.create_model("efficientnet_b0")
    file = tmp_path / "weights.safetensors"
    save_file(known.state_dict(), file)
    started = EfficientNet(file, most=1)
    assert (started.comparable, started.setting["pretrained"]) == (True, True)
    assert started.setting["weights"].startswith("sha256:")
    assert (started.network(2).conv_stem.weight == known.conv_stem.weight).all()


def test_a_further_source_leaves_the_other_autoencoders_alone(images: Make, tmp_path: Path) -> None:
    """One is trained, nothing is trained again, and errors of the others stay what they were."""
    store = Store(tmp_path / "store")
    encoders = Autoencoders(store, most=60)
    three = images("a", "b", "c")
    shots, queries = three.columns(SHOTS), three.columns(QUERIES)
    two = [encoders.scores(shots.rows(slice(0, 2)), queries, 1)]
    kept = {path: path.stat().st_mtime_ns for path in store.directory.rglob("*.pt")}
    assert len(kept) == 2
    scores = encoders.scores(shots, queries, 1)
    assert len(list(store.directory.rglob("*.pt"))) == 3
    assert all(path.stat().st_mtime_ns == at for path, at in kept.items())
    assert (scores[:, :2] == two[0]).all()
    assert right(scores, queries) == 1


def test_baselines_travel_and_are_picked_by_what_there_is_to_see(images: Make, tmp_path: Path) -> None:
    """A cell of each can be pickled and keeps its key; a baseline without its inputs is left out, or refused."""
    every = baselines(CLIP, None, Store(tmp_path), "cpu", steps=3)
    data = images("a", "b", captioned=True)
    for baseline in every.values():
        cell = CharacterSplit(1, (0, 1), (2,), (3,)).cell(baseline, data, 2)
        assert pickle.loads(pickle.dumps(cell)).key == cell.key
        assert "steps_at_most" not in baseline.setting or baseline.setting["steps_at_most"] == 3
    assert [each.name for each in chosen(every, None, data)] == list(every)
    mute = images("a", "b")
    assert "De-Fake" not in {each.name for each in chosen(every, None, mute)}
    for name, says in (("De-Fake", "captions"), ("DeFake", "no baseline")):
        with pytest.raises(ConfigurationError, match=says):
            chosen(every, [name], mute)
