"""The search for hard prompts, on the zoo's CLIP and on a tiny one with the tokenizer of the real ones."""

import json
from dataclasses import replace
from pathlib import Path

import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from attribution.build import Placement, build_captioner
from attribution.caption import describe
from attribution.caption.fake import FakeCaptioner, FakeCaptionerBehavior
from attribution.caption.pez import PezCaptioner
from attribution.caption.spec import PezOptions, RefineOptions
from attribution.errors import AttributionError, ConfigurationError
from attribution.image import load

ZOO = "local-dir:zoo/models/clip"
FACE = load(Path("zoo/samples/sample.png")).image
QUICK = PezOptions(steps=40, tokens=6)


@pytest.fixture(scope="module")
def zoo() -> PezCaptioner:
    """The search works with the demo CLIP."""
    return PezCaptioner(ZOO, QUICK)


def cosine(captioner: PezCaptioner, text: str, image: Image.Image) -> float:
    """The cosine between a text and an image, by the model's own functions."""
    model, _, preprocess = open_clip.create_model_and_transforms(ZOO)
    with torch.no_grad():
        words = model.eval().encode_text(open_clip.get_tokenizer(ZOO)([text]))[0]
        return float(torch.cosine_similarity(words, model.encode_image(preprocess(image)[None])[0], dim=0))


def test_words_are_found(zoo: PezCaptioner) -> None:
    """The prompt is nearer to the image than the first words, and equal in each run."""
    text, similarity = zoo.search(FACE)
    assert cosine(zoo, text, FACE) == pytest.approx(similarity, abs=1e-4)
    began = PezCaptioner(ZOO, replace(QUICK, steps=1)).search(FACE)[1]
    assert similarity > began + 0.05
    assert zoo.search(FACE) == (text, similarity)
    assert len(text.split()) == 6
    assert zoo.ref.revision.startswith("sha256:")


def test_the_seed_picks_the_first_words(zoo: PezCaptioner) -> None:
    """Another address or instruction is another revision."""
    other = PezCaptioner(ZOO, replace(QUICK, seed=1))
    assert other.search(FACE) != zoo.search(FACE)
    assert other.ref != zoo.ref


def test_time_is_kept() -> None:
    """At the time limit the best prompt so far is returned."""
    text, similarity = PezCaptioner(ZOO, PezOptions(steps=100_000, tokens=6, seconds=0.05)).search(FACE)
    assert text
    assert similarity < 1


def test_a_caption_is_refined() -> None:
    """The search starts with the caption's words, does not end further from the image, and names the captioner."""
    said = FakeCaptioner(FakeCaptionerBehavior(prefix="a pale skinned person with short"))
    captioner = PezCaptioner(ZOO, RefineOptions(steps=80), start=said)
    first, (text, similarity) = said.describe(FACE), captioner.search(FACE)
    assert similarity > cosine(captioner, first, FACE)
    assert len(text.split()) == len(first.split())
    assert text.split() != first.split()
    assert captioner.ref.name == "fake-captioner+pez/clip"
    kept = PezCaptioner(ZOO, RefineOptions(steps=1, rate=1e-6), start=said)
    assert kept.describe(FACE) == first


def test_nothing_said_is_nothing_to_refine() -> None:
    """An empty caption is an error."""
    silent = FakeCaptioner(FakeCaptionerBehavior(prefix=""))
    silent.describe = lambda image: " "  # type: ignore[method-assign]
    with pytest.raises(AttributionError, match="no words"):
        PezCaptioner(ZOO, RefineOptions(), start=silent).describe(FACE)


def test_by_name() -> None:
    """`pez` and `blip+pez` are the shipped models; a BLIP that is loaded is not loaded again."""
    blip = build_captioner("blip", Placement())
    refined = build_captioner("blip+pez?steps=2&clip=local-dir:zoo/models/clip", Placement(), loaded=[blip])
    assert isinstance(refined, PezCaptioner)
    assert refined._start is blip
    assert describe(refined, FACE).captioner == refined.ref
    assert build_captioner("pez", Placement()).ref.name == "pez/clip"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny random CLIP with the vocabulary of the real ones."""
    directory = tmp_path_factory.mktemp("models") / "clip"
    directory.mkdir()
    torch.manual_seed(0)
    config = {
        "embed_dim": 12,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49_408, "width": 16, "heads": 2, "layers": 1},
    }
    preprocessing = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    (directory / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocessing}))
    save_file(open_clip.model.CLIP(**config).state_dict(), directory / "open_clip_model.safetensors")
    return f"local-dir:{directory}"


def test_what_is_found_is_read_again_as_the_same_tokens(tiny: str) -> None:
    """The real vocabulary of 49,408 tokens contains the expected number of whole words."""
    captioner = PezCaptioner(tiny, PezOptions(steps=20, tokens=12))
    assert 30_000 < len(captioner._words) < 40_000
    text, _ = captioner.search(FACE)
    ids = captioner._clip.tokens.ids(text)
    assert len(ids) == 12
    assert set(ids) <= set(captioner._words.tolist())
    assert open_clip.tokenizer.SimpleTokenizer()([text])[0, 1:13].tolist() == ids


def test_a_wrong_model_is_named() -> None:
    """An unknown name is an error with a sentence."""
    with pytest.raises(ConfigurationError, match="ViT-of-Dreams"):
        build_captioner("pez:ViT-of-Dreams/openai", Placement())
    with pytest.raises(ConfigurationError, match="steps"):
        build_captioner("pez:local-dir:x?steps=0", Placement())
