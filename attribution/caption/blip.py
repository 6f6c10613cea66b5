"""Captions with BLIP, the captioner of arXiv 2403.01489, from a directory or a hub id."""

from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from transformers import AutoProcessor, BlipForConditionalGeneration

from attribution.errors import ConfigurationError
from attribution.library_output import suppress_library_output
from attribution.ports import ModelRef

_AutoProcessor: Any = AutoProcessor  # its from_pretrained is not typed


class BlipCaptioner:
    """One loaded BLIP. Beam search without sampling: the same image always gets the same sentence."""

    def __init__(
        self,
        ref: ModelRef,
        directory: Path | None = None,
        *,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        beams: int = 3,
        max_new_tokens: int = 40,
    ) -> None:
        """Load the model. Raises ConfigurationError if that fails.

        Args:
            ref: The name and revision of the model, also on the hub.
            directory: Where the model is; None for the hub.
            device: Such as cpu or cuda.
            dtype: Of the weights.
            beams: The width of the beam search.
            max_new_tokens: The longest caption.
        """
        place = str(directory or ref.name)
        # Not every BLIP on the hub has safetensors; then transformers loads with weights_only, which is safe, too.
        where: dict[str, Any] = {"revision": ref.revision}
        if directory is not None:
            where = {"local_files_only": True, "use_safetensors": True}
        try:
            with suppress_library_output():
                self._processor = _AutoProcessor.from_pretrained(place, **where)
                model: Any = BlipForConditionalGeneration.from_pretrained(place, dtype=dtype, **where)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"The captioner {place} cannot be loaded; is the directory complete?") from error
        self._model = model.to(device).eval()
        self.ref = ref
        self._device = device
        self._dtype = dtype
        self._beams = beams
        self._max_new_tokens = max_new_tokens

    def describe(self, image: Image) -> str:
        """The caption of one RGB image."""
        return self.finish(self.forward(self.prepare(image)))

    def prepare(self, image: Image) -> torch.Tensor:
        """(1, 3, h, w) in the model's own normalization."""
        pixels: torch.Tensor = self._processor(images=image, return_tensors="pt")["pixel_values"]
        return pixels

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Token ids; the only step that uses the device."""
        with suppress_library_output(), torch.inference_mode():
            tokens: torch.Tensor = self._model.generate(
                pixel_values=pixels.to(self._device, self._dtype),
                num_beams=self._beams,
                do_sample=False,
                max_new_tokens=self._max_new_tokens,
            )
        return tokens.cpu()

    def finish(self, tokens: torch.Tensor) -> str:
        """The text of token ids."""
        return str(self._processor.decode(tokens[0], skip_special_tokens=True)).strip()
