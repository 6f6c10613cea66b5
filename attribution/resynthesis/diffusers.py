"""Generates with any diffusers text-to-image pipeline, from a directory or a hub id: local resynthesis.

`load` does everything that happens once per process; then `generate` is prepare → forward → finish for each batch, and
only `forward` uses the device. No pipeline is named here: the signature of its `__call__` shows what it accepts.
"""

import inspect
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError

from attribution.errors import (
    ConfigurationError,
    DeviceMemoryExhausted,
    SourceError,
    SourceTimeout,
    SourceUnavailable,
)
from attribution.library_output import suppress_library_output
from attribution.ports import Deadline, GeneratedImage, ModelRef
from attribution.resynthesis.batch_size import BatchSize
from attribution.resynthesis.inputs import fit_prompt

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
# The catalog's parameter → the pipelines' parameter.
_CALL_NAMES = {
    "steps": "num_inference_steps",
    "guidance": "guidance_scale",
    "width": "width",
    "height": "height",
    "negative_prompt": "negative_prompt",
}


@dataclass(frozen=True, slots=True)
class DiffusersSettings:
    """How a pipeline is loaded and called; `call` holds arguments of its `__call__`, named as in the catalog.

    `batch_size` images are generated at once, at most so many if `measure_batches` finds the best number.
    `without` names components that are not loaded (SD3's T5); `offload` is none, model or sequential; `pipeline` is a
    class of diffusers, if the model's own index does not name its text-to-image pipeline.
    """

    dtype: str = "float32"
    device: str = "cpu"
    offload: str = "none"
    batch_size: int = 4
    measure_batches: bool = False
    variant: str | None = None
    pipeline: str = "DiffusionPipeline"
    without: tuple[str, ...] = ()
    max_prompt_chars: int | None = None
    call: Mapping[str, str | int | float | bool] = field(default_factory=dict)


class DiffusersGenerator:
    """One loaded pipeline."""

    def __init__(self, source: str, ref: ModelRef, pipeline: Any, settings: DiffusersSettings) -> None:
        self.source = source
        self.ref = ref
        self._pipeline = pipeline
        self._settings = settings
        self._deadline: Deadline | None = None
        accepted = inspect.signature(pipeline.__call__).parameters
        if not {"prompt", "generator", "output_type"} <= accepted.keys():
            raise ConfigurationError(
                f"{source}: {type(pipeline).__name__} does not generate images from text and a seed."
            )
        self._call = _call_arguments(source, settings.call, accepted)
        # Pipelines such as Amused generate the noise of a whole batch from one generator: an image would depend on
        # the others in its batch, so their batch size is 1.
        takes_list = "list" in str(accepted["generator"].annotation).lower()
        self._batch = BatchSize(settings.batch_size if takes_list else 1, settings.measure_batches)
        configured = self._call.get("max_sequence_length")
        default = accepted["max_sequence_length"].default if "max_sequence_length" in accepted else sys.maxsize
        self._max_tokens = int(default if configured is None else configured)
        pipeline.set_progress_bar_config(disable=True)
        self._register_deadline_hooks()

    @classmethod
    def load(
        cls, source: str, ref: ModelRef, settings: DiffusersSettings, directory: Path | None = None
    ) -> "DiffusersGenerator":
        """Load from `directory`, or else from the hub at the pinned revision, and move to the device.

        Raises SourceUnavailable if the weights cannot be loaded, ConfigurationError if the settings are invalid.
        """
        if directory is not None and not (directory / "model_index.json").is_file():
            raise SourceUnavailable(f"There is no pipeline for {source} in {directory}: put its weights there.")
        if settings.dtype not in _DTYPES:
            raise ConfigurationError(f"{source}: dtype must be one of {', '.join(_DTYPES)}, not {settings.dtype!r}.")
        location: dict[str, Any] = {"revision": ref.revision} if directory is None else {"local_files_only": True}
        with suppress_library_output(), _loading(source):
            absent = [*settings.without, *(_absent(directory) if directory is not None else ())]
            pipeline = _class(source, settings.pipeline).from_pretrained(
                str(directory or ref.name),
                dtype=_DTYPES[settings.dtype],
                variant=settings.variant,
                use_safetensors=True,
                trust_remote_code=False,
                **location,
                **dict.fromkeys(absent),
            )
            _place(source, pipeline, settings)
        return cls(source, ref, pipeline, settings)

    @property
    def batch_size(self) -> int:
        """See `BatchGenerator`."""
        return self._batch.size

    def generate(self, prompt: str, seeds: Sequence[int], deadline: Deadline) -> list[GeneratedImage]:
        """One generated image per seed, except those that a safety checker flagged.

        Raises SourceTimeout between two denoising steps once the deadline has passed.
        """
        generated = self.generate_each([prompt] * len(seeds), seeds, deadline)
        return [generated_image for generated_image in generated if generated_image is not None]

    def generate_each(
        self, prompts: Sequence[str], seeds: Sequence[int], deadline: Deadline
    ) -> list[GeneratedImage | None]:
        """One image per prompt and its seed, None for one that a safety checker flagged. Raises as `generate`.

        Where the device has no memory for a batch, it is generated in smaller ones.
        """
        generated_images: list[GeneratedImage | None] = []
        while (start := len(generated_images)) < len(seeds):
            batch = slice(start, start + self._batch.size)
            began = time.monotonic()
            try:
                output = self.forward(self.prepare(prompts[batch], seeds[batch]), deadline)
            except DeviceMemoryExhausted:
                if len(seeds[batch]) == 1:
                    raise
                self._batch.reduce(len(seeds[batch]))
                torch.cuda.empty_cache()  # does nothing without a GPU
                continue
            self._batch.add_measurement(len(seeds[batch]), time.monotonic() - began)
            generated = self.finish(output, seeds[batch])
            generated_images += [self._with_prompt(*pair) for pair in zip(generated, prompts[batch], strict=True)]
        return generated_images

    def _with_prompt(self, image: GeneratedImage | None, prompt: str) -> GeneratedImage | None:
        """The image with the prompt it was generated from, if that was shortened."""
        fitted = self._fitted(prompt)
        return image if image is None or fitted == prompt else replace(image, prompt=fitted)

    def remark(self, prompt: str) -> str | None:
        """A sentence if the prompt exceeds every text encoder of this pipeline, or the limit of the catalog."""
        if self._fitted(prompt) == prompt:
            return None
        return "The caption was longer than this source accepts: it was cut between words."

    def prepare(self, prompts: Sequence[str], seeds: Sequence[int]) -> dict[str, Any]:
        """The arguments for one batch. Noise is generated on the CPU, so that it is the same on every device."""
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        batch = {name: [v] * len(seeds) if name == "negative_prompt" else v for name, v in self._call.items()}
        return batch | {
            "prompt": [self._fitted(prompt) for prompt in prompts],
            "generator": generators if len(generators) > 1 else generators[0],
            "output_type": "np",
        }

    def forward(self, arguments: dict[str, Any], deadline: Deadline) -> Any:
        """Run the pipeline; the only step that uses the device."""
        self._deadline = deadline
        try:
            with suppress_library_output(), torch.inference_mode():
                return self._pipeline(**arguments)
        except BaseException as error:
            self._pipeline.maybe_free_model_hooks()  # an interrupted pipeline has not moved its models back to the host
            if isinstance(error, torch.OutOfMemoryError):
                raise DeviceMemoryExhausted("The device ran out of memory while generating.") from error
            raise
        finally:
            self._deadline = None

    def finish(self, output: Any, seeds: Sequence[int]) -> list[GeneratedImage | None]:
        """Images from the pipeline's floats, None for those its safety checker flagged."""
        images: NDArray[np.floating[Any]] = np.asarray(output.images)  # (n, h, w, 3) in 0…1
        if not np.isfinite(images).all():
            raise SourceError("The model generated values that are not numbers, as happens with a too narrow dtype.")
        flags = getattr(output, "nsfw_content_detected", None) or [False] * len(seeds)
        pixels = np.rint(np.clip(images, 0.0, 1.0) * 255).astype(np.uint8)
        return [
            None if flagged else GeneratedImage(Image.fromarray(image), seed)
            for image, seed, flagged in zip(pixels, seeds, flags, strict=True)
        ]

    def _register_deadline_hooks(self) -> None:
        """Check the deadline whenever a component is called: once per denoising step, in every pipeline.

        `callback_on_step_end` exists in about two thirds of the pipelines, each with its own way to stop.
        """
        for component in self._pipeline.components.values():
            if isinstance(component, torch.nn.Module):
                component.register_forward_pre_hook(self._check)

    def _check(self, module: torch.nn.Module, arguments: Any) -> None:
        if self._deadline is not None and self._deadline.passed():
            raise SourceTimeout("The source was still generating when its time was over.")

    def _fitted(self, prompt: str) -> str:
        return fit_prompt(prompt, self._settings.max_prompt_chars, lambda text: self._tokens_lost(text) == 0)

    def _tokens_lost(self, prompt: str) -> int:
        """How many tokens even the text encoder with the largest input cannot read."""
        lost = []
        for name, tokenizer in self._pipeline.components.items():
            if "tokenizer" not in name or tokenizer is None:
                continue
            limit = min(int(tokenizer.model_max_length), self._max_tokens)
            with suppress_library_output():
                lost.append(max(0, len(tokenizer(prompt).input_ids) - limit))
        return min(lost, default=0)


def _call_arguments(
    source: str, wanted: Mapping[str, str | int | float | bool], accepted: Mapping[str, inspect.Parameter]
) -> dict[str, str | int | float | bool]:
    """The catalog's parameters that this pipeline accepts; an unknown parameter is an error."""
    arguments = {}
    for parameter, value in wanted.items():
        name = _CALL_NAMES.get(parameter, parameter)
        if name in accepted:
            arguments[name] = value
        elif parameter not in _CALL_NAMES:
            raise ConfigurationError(f"{source}: parameters.{parameter} is not a parameter of this pipeline.")
    return arguments


def _class(source: str, name: str) -> Any:
    """The pipeline's class, which the catalog names if the directory's index does not."""
    if not name.isidentifier() or "Pipeline" not in name or not hasattr(diffusers, name):
        raise ConfigurationError(f"{source}: parameters.pipeline: diffusers has no pipeline {name!r}.")
    return getattr(diffusers, name)


def _place(source: str, pipeline: Any, settings: DiffusersSettings) -> None:
    if settings.offload not in ("none", "model", "sequential"):
        raise ConfigurationError(f"{source}: offload must be none, model or sequential, not {settings.offload!r}.")
    if settings.offload != "none" and settings.device == "cpu":
        raise ConfigurationError(f"{source}: offload = {settings.offload!r} needs a device other than the CPU.")
    if settings.offload == "model":
        pipeline.enable_model_cpu_offload(device=settings.device)
    elif settings.offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=settings.device)
    else:
        pipeline.to(settings.device)
    unet = getattr(pipeline, "unet", None)
    if unet is not None and settings.device.startswith("cuda"):
        unet.to(memory_format=torch.channels_last)  # faster convolutions on tensor cores; no effect on transformers


@contextmanager
def _loading(source: str) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise SourceUnavailable(f"The device has not enough memory for {source}.") from error
    except (OSError, ValueError, ImportError, AttributeError, RuntimeError, SafetensorError) as error:
        raise SourceUnavailable(
            f"The pipeline of {source} cannot be loaded: files or libraries are missing or broken."
        ) from error


def _absent(directory: Path) -> list[str]:
    """Components that a pipeline was saved without: from_pretrained fails unless they are passed as None."""
    index: dict[str, Any] = json.loads((directory / "model_index.json").read_text(encoding="utf-8"))
    return [name for name, origin in index.items() if origin == [None, None]]
