"""The BLIP captioner, over a tiny random BLIP on disk."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    BlipTextConfig,
    BlipVisionConfig,
)

from attribution.build import Placement, build_captioner
from attribution.caption import describe
from attribution.errors import ConfigurationError
from attribution.weights import digest_of_directory

SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
TOKENS = {"bos_token_id": 2, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0, "max_position_embeddings": 64}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*SPECIAL, "a", "red", "blue", "hat", "face", "with", "and", "on", "background"]


@pytest.fixture(scope="session")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a tiny BLIP."""
    directory = tmp_path_factory.mktemp("models") / "blip"
    directory.mkdir()
    (directory / "vocab.txt").write_text("\n".join(WORDS))
    torch.manual_seed(0)
    text = BlipTextConfig(vocab_size=len(WORDS), encoder_hidden_size=16, projection_dim=16, **TOKENS, **SMALL)
    vision = BlipVisionConfig(image_size=32, patch_size=16, projection_dim=16, **SMALL)
    config = BlipConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=16)
    BlipForConditionalGeneration(config).save_pretrained(directory)
    images = BlipImageProcessor(size={"height": 32, "width": 32})
    BlipProcessor(images, BertTokenizer(vocab=str(directory / "vocab.txt"))).save_pretrained(directory)
    return directory


def test_a_directory_describes(blip: Path) -> None:
    """A saved BLIP gives the same caption for the same image, and its revision is the hash of its weights."""
    captioner = build_captioner(f"blip:{blip}", Placement())
    image = Image.linear_gradient("L").convert("RGB")
    first, second = (describe(captioner, image) for _ in range(2))
    assert first == second
    assert set(first.text.split()) <= set(WORDS)
    assert (first.captioner.name, first.captioner.revision) == ("blip", digest_of_directory(blip))


def test_a_broken_directory_is_named(tmp_path: Path) -> None:
    """An incomplete download stops the start with a sentence."""
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="complete"):
        build_captioner(f"blip:{tmp_path}", Placement())
