"""Loads open_clip models with both towers, for embedders, captioners and the benchmark alike.

Names are "ViT-L-14-336/openai", which is an architecture and a tag of open_clip's, "hf-hub:NAME" and
"local-dir:DIRECTORY". Nothing else in this project calls open_clip's factory: by itself it builds the architecture's
activation, GELU, also for a tag whose weights were trained with QuickGELU, and only warns. Here a tag's model has the
activation that the tag demands. A directory's, or the hub's, has the one that its own configuration states.
"""

import difflib
import json
import warnings
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import open_clip
import torch

from attribution.errors import ConfigurationError
from attribution.ports import ModelRef
from attribution.weights import digest_of_file

_LOCAL: Final = "local-dir:"
_FILES: Final = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")
_PREPROCESSING: Final = ("size", "mode", "mean", "std", "interpolation", "resize_mode", "fill_color")
# Those of the demo CLIP, whose revision is that of its weight file alone: thresholds are stored under it.
_UNMARKED_SETTINGS: Final = "81f0ec96"


@dataclass(frozen=True, slots=True)
class PretrainedClip:
    """A model in float32 for inference, open_clip's transform for one image, and the revision of both."""

    architecture: str
    model: Any
    preprocess: Any
    ref: ModelRef

    def tokenizer(self) -> Any:
        """The model's own, from a list of n texts to (n, length) ids. Raises ConfigurationError where there is none."""
        try:
            return open_clip.get_tokenizer(self.architecture)
        except Exception as error:  # open_clip's, transformers' and the hub's have no other base in common
            raise ConfigurationError(
                f"The tokenizer of {self.ref.name} cannot be loaded; are its files complete?"
            ) from error


def load_clip(name: str, device: str = "cpu") -> PretrainedClip:
    """The model that `name` stands for. Raises ConfigurationError where it cannot be loaded as it was trained."""
    model, preprocess, config = build_clip(name, device)
    directory = Path(name.removeprefix(_LOCAL)) if name.startswith(_LOCAL) else None
    revision, settings = _digest_of_weights(model, directory), _digest_of_settings(model, config)
    if settings != _UNMARKED_SETTINGS:
        revision += f",config={settings}"
    ref = ModelRef(directory.name if directory else name, revision)
    return PretrainedClip(_split(name)[0], model, preprocess, ref)


def build_clip(name: str, device: str) -> tuple[Any, Any, dict[str, Any]]:
    """The model, its transform, and the architecture's configuration as it was built; see `load_clip`."""
    architecture, tag = _split(name)
    forced = tag is not None and _trained_with_quick_gelu(architecture, tag)
    try:
        config = open_clip.get_model_config(architecture)
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "QuickGELU mismatch")
            model, _, preprocess = open_clip.create_model_and_transforms(
                architecture, pretrained=tag, device=device, force_quick_gelu=forced, require_pretrained=True
            )
    except Exception as error:  # open_clip's, torch's, safetensors' and the hub's have no other base in common
        raise ConfigurationError(f"The CLIP {name} cannot be loaded; are its name and files right?") from error
    return model.eval(), preprocess, {**config, "quick_gelu": forced or config.get("quick_gelu", False)}


def _split(name: str) -> tuple[str, str | None]:
    """What open_clip calls the architecture, and the tag where the name has one."""
    if ":" in name:
        return name, None
    architecture, _, tag = name.partition("/")
    return architecture, tag


def _trained_with_quick_gelu(architecture: str, tag: str) -> bool:
    """As the tag says. Raises ConfigurationError where open_clip has no such tag or contradicts itself about it."""
    config, weights = open_clip.get_model_config(architecture), open_clip.get_pretrained_cfg(architecture, tag)
    name = f"{architecture}/{tag}"
    if not config or not weights:
        names = ["/".join(pair) for pair in open_clip.list_pretrained()]
        near = ", ".join(difflib.get_close_matches(name, names, cutoff=0))
        raise ConfigurationError(
            f"open_clip has no {name}. Near names are {near}; files of your own are local-dir:DIRECTORY."
        )
    quick = bool(weights.get("quick_gelu", False))
    if config.get("quick_gelu", False) and not quick:
        # The architecture was used in training, so the tag may have forgotten its activation: open_clip cannot tell.
        hub = weights["hf_hub"].rstrip("/")
        raise ConfigurationError(
            f"open_clip gives {name} another activation than {architecture}. Name it hf-hub:{hub} instead."
        )
    return quick


def _digest_of_weights(model: torch.nn.Module, directory: Path | None) -> str:
    """That of the weight file where we hold it, else of the weights themselves: a tag's file may be replaced."""
    files = [directory / name for name in _FILES] if directory else []
    for file in files:
        if file.is_file():
            return digest_of_file(file)
    whole = sha256()
    for key, tensor in sorted(model.state_dict().items()):
        whole.update(key.encode())
        whole.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return f"sha256:{whole.hexdigest()[:16]}"


def _digest_of_settings(model: Any, config: dict[str, Any]) -> str:
    """Eight hex digits over what changes features beside weights: activation, layers' shapes, preprocessing."""
    preprocessing = {key: model.visual.preprocess_cfg[key] for key in _PREPROCESSING}
    return sha256(json.dumps([config, preprocessing], sort_keys=True).encode()).hexdigest()[:8]
