"""An open_clip model, converted, is the same model."""

import pytest
import torch
from torch import nn

from attribution.errors import ConfigurationError
from evaluation.baselines.openclip import converted, open_model

CLIP = "local-dir:zoo/models/clip"


def test_features_are_the_same() -> None:
    """Of images and of texts, long ones and short ones."""
    opened = open_model(CLIP)
    model = converted(opened.model)
    pixels = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    ids = opened.ids(["a pale skinned person with long blond hair", "zoo flux tuned", "x", ""])
    with torch.inference_mode():
        images = model.get_image_features(pixels).pooler_output
        texts = model.get_text_features(ids).pooler_output
        torch.testing.assert_close(images, opened.model.encode_image(pixels), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(texts, opened.model.encode_text(ids), atol=1e-5, rtol=1e-5)
        scale = opened.model.logit_scale
    assert model.logit_scale == scale


def test_what_is_not_such_a_clip_is_refused() -> None:
    """With a sentence instead of a missing attribute."""
    with pytest.raises(ConfigurationError, match="two transformers"):
        converted(nn.Linear(1, 1))
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        open_model("local-dir:nowhere")
