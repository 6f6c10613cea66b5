"""The diffusers adapter, over tiny random pipelines of six architectures."""

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from diffusers.utils import logging as diffusers_logging
from PIL import Image

from attribution.errors import ConfigurationError, SourceError, SourceTimeout, SourceUnavailable
from attribution.ports import Caption, Deadline, ModelRef, SourceState
from attribution.resynthesis import resynthesize
from attribution.resynthesis.diffusers import DiffusersGenerator, DiffusersSettings

KINDS = [
    "stable-diffusion",
    "sd3",
    "lcm",
    "amused",
    "pixart",
    "ldm",
    "sdxl",
    "flux",
    "auraflow",
    "hunyuan",
    "kandinsky",
]
CALL = {"steps": 2, "guidance": 3.0, "width": 32, "height": 32, "negative_prompt": ""}
REF = ModelRef("tiny", "sha256:0")
SEEDS = (1, 2, 3, 4)


@pytest.fixture(scope="session")
def load(pipelines: Callable[[str], Path]) -> Callable[..., DiffusersGenerator]:
    """Loads a tiny pipeline through the adapter."""

    def load(kind: str, **more: object) -> DiffusersGenerator:
        call = CALL | ({"use_resolution_binning": False} if kind in ("pixart", "hunyuan") else {})
        if kind == "kandinsky":  # its prior generates noise for negative prompts too, for which no seed was given
            call = {name: value for name, value in call.items() if name != "negative_prompt"}
        settings = replace(DiffusersSettings(call=call), **more)  # type: ignore[arg-type]
        return DiffusersGenerator.load(kind, REF, settings, pipelines(kind))

    return load


def _later() -> Deadline:
    return Deadline.after(600)


def _pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(np.int16)


@pytest.mark.parametrize("kind", KINDS)
def test_batches_do_not_change_an_image(load: Callable[..., DiffusersGenerator], kind: str) -> None:
    """A prompt and a seed give one image, generated alone or among others, whose prompts may be longer or shorter."""
    prompts = ("a red hat", "a red hat", "a person with red hair and a hat", "hat")
    together = load(kind, batch_size=4).generate_each(prompts, SEEDS, _later())
    apart = load(kind, batch_size=1).generate_each(prompts, SEEDS, _later())

    pixels = [_pixels(generated_image.image) for generated_image in together if generated_image is not None]
    alone = [_pixels(generated_image.image) for generated_image in apart if generated_image is not None]
    assert [generated_image and generated_image.seed for generated_image in together] == list(SEEDS)
    for one, other in zip(pixels, alone, strict=True):
        assert np.abs(one - other).max() <= 1
    assert np.abs(pixels[0] - pixels[1]).max() > 1
    assert pixels[0].shape[2] == 3


@pytest.mark.parametrize("kind", KINDS)
def test_the_deadline_stops_every_pipeline(load: Callable[..., DiffusersGenerator], kind: str) -> None:
    """A passed deadline ends generating before the next step, even in pipelines without any callback."""
    generator = load(kind)
    calls: list[int] = []
    denoiser = generator._pipeline.components.get("unet") or generator._pipeline.components["transformer"]

    def take_time(*_: Any) -> None:
        time.sleep(0.3)
        calls.append(1)

    denoiser.register_forward_hook(take_time)

    with pytest.raises(SourceTimeout):
        generator.generate("a red hat", SEEDS, Deadline.after(0.2))

    assert len(calls) <= 1
    assert len(generator.generate("a red hat", SEEDS[:1], _later())) == 1  # and it can generate again


def test_sizes_are_what_the_catalog_says(load: Callable[..., DiffusersGenerator]) -> None:
    """Width and height reach the pipeline."""
    generated_image = load("stable-diffusion", call=CALL | {"width": 48}).generate("a red hat", SEEDS[:1], _later())[0]
    assert generated_image.image.size == (48, 32)


def test_an_unknown_parameter_is_an_error(load: Callable[..., DiffusersGenerator]) -> None:
    """An unknown parameter is an error."""
    with pytest.raises(ConfigurationError, match=r"parameters\.guidanse"):
        load("stable-diffusion", call=CALL | {"guidanse": 3.0})


def test_flagged_images_are_dropped(load: Callable[..., DiffusersGenerator]) -> None:
    """What a safety checker flags is no generated image; when it flags all, the source refused its output."""

    class Checker(torch.nn.Module):
        flags = (True, False)
        device = torch.device("cpu")
        dtype = torch.float32

        def forward(self, images: np.ndarray, clip_input: torch.Tensor) -> tuple[np.ndarray, list[bool]]:
            return images, list(self.flags)

    generator = load("stable-diffusion", call=CALL)
    pipeline = generator._pipeline
    checker = Checker()
    pipeline.safety_checker = checker
    pipeline.feature_extractor = lambda images, return_tensors: _Features()

    assert [generated_image.seed for generated_image in generator.generate("a red hat", SEEDS[:2], _later())] == [2]
    checker.flags = (True, True)
    result = resynthesize(generator, Caption("a red hat", REF), SEEDS[:2], _later())
    assert (result.state, result.generated_images) == (SourceState.REFUSED_OUTPUT, ())
    assert result.reason


class _Features:
    pixel_values = torch.zeros(2, 3, 4, 4)

    def to(self, device: object) -> "_Features":
        return self


def test_values_that_are_no_numbers_are_an_error(load: Callable[..., DiffusersGenerator]) -> None:
    """An overflow in a narrow dtype is reported, not embedded as a black image."""
    generator = load("stable-diffusion")
    with torch.no_grad():
        generator._pipeline.vae.decoder.conv_out.bias.fill_(float("nan"))
    with pytest.raises(SourceError, match="not numbers"):
        generator.generate("a red hat", SEEDS[:1], _later())


def test_long_prompts_are_remarked_on(load: Callable[..., DiffusersGenerator]) -> None:
    """The remark reports a shortened caption, and the result contains the words that were used."""
    generator = load("stable-diffusion")
    long = resynthesize(generator, Caption("a person with red hair and a hat", REF), SEEDS[:1], _later())
    short = resynthesize(generator, Caption("a red hat", REF), SEEDS[:1], _later())

    assert (long.state, short.state, short.reason) == (SourceState.DONE, SourceState.DONE, None)
    assert long.reason is not None
    assert "longer" in long.reason
    generated = long.generated_images[0].prompt
    assert generated is not None
    assert "a person with red hair and a hat".startswith(f"{generated} ")
    assert generator._tokens_lost(generated) == 0
    assert short.generated_images[0].prompt is None


def test_prompts_are_cut_at_a_word(load: Callable[..., DiffusersGenerator]) -> None:
    """`max_prompt_chars` never cuts within a word, and says that it cut."""
    generator = load("stable-diffusion", max_prompt_chars=7)
    assert generator.prepare(["a red hat"], SEEDS[:1])["prompt"] == ["a red"]
    assert generator.remark("a red hat")


def test_nothing_is_written(load: Callable[..., DiffusersGenerator], capfd: pytest.CaptureFixture[str]) -> None:
    """No progress bar, and no caption on stderr; the caller's own log level stays."""
    before = diffusers_logging.get_verbosity()
    generator = load("stable-diffusion")
    generator.generate("a person with red hair and a hat and a beard", SEEDS[:1], _later())
    assert capfd.readouterr() == ("", "")
    assert diffusers_logging.get_verbosity() == before


def test_a_missing_directory_is_unavailable(tmp_path: Path) -> None:
    """The sentence says where the weights belong."""
    with pytest.raises(SourceUnavailable, match="put its weights there"):
        DiffusersGenerator.load("tiny", REF, DiffusersSettings(), tmp_path)


def test_a_broken_directory_is_unavailable(tmp_path: Path) -> None:
    """An index without weights makes the source unavailable and does not crash."""
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "X"]}')
    with pytest.raises(SourceUnavailable, match="cannot be loaded"):
        DiffusersGenerator.load("tiny", REF, DiffusersSettings(), tmp_path)


def test_broken_weights_are_unavailable(pipelines: Callable[[str], Path], tmp_path: Path) -> None:
    """An incomplete download makes the source unavailable and does not crash."""
    copy = shutil.copytree(pipelines("stable-diffusion"), tmp_path / "copy")
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(SourceUnavailable, match="broken"):
        DiffusersGenerator.load("tiny", REF, DiffusersSettings(), copy)


def test_a_pipeline_of_another_kind_is_refused(tmp_path: Path) -> None:
    """A pipeline that takes no prompt cannot be a source."""
    DDPMPipeline(
        UNet2DModel(
            sample_size=8,
            block_out_channels=(32, 32),
            layers_per_block=1,
            down_block_types=("DownBlock2D",) * 2,
            up_block_types=("UpBlock2D",) * 2,
        ),
        DDPMScheduler(),
    ).save_pretrained(tmp_path)
    with pytest.raises(ConfigurationError, match="DDPMPipeline does not generate images from text"):
        DiffusersGenerator.load("tiny", REF, DiffusersSettings(), tmp_path)


def test_pipelines_of_two_parts_go_by_their_class(load: Callable[..., DiffusersGenerator]) -> None:
    """A catalog entry may name the class of its text-to-image pipeline."""
    generator = load("stable-diffusion", pipeline="AutoPipelineForText2Image")
    assert len(generator.generate("a red hat", SEEDS[:1], _later())) == 1


@pytest.mark.parametrize(
    ("setting", "value"), [("dtype", "int4"), ("offload", "moon"), ("offload", "model"), ("pipeline", "os")]
)
def test_settings_without_meaning_are_errors(load: Callable[..., DiffusersGenerator], setting: str, value: str) -> None:
    """An invalid setting is an error that names it."""
    with pytest.raises(ConfigurationError, match=setting):
        load("stable-diffusion", **{setting: value})


def test_half_precision_generates(load: Callable[..., DiffusersGenerator]) -> None:
    """dtype reaches the weights."""
    generator = load("stable-diffusion", dtype="bfloat16")
    assert generator._pipeline.unet.dtype is torch.bfloat16
    assert len(generator.generate("a red hat", SEEDS[:1], _later())) == 1
