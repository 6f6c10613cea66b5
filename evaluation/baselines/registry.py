"""All baselines by name."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from attribution.errors import ConfigurationError
from evaluation.baselines.autoencoders import Autoencoders
from evaluation.baselines.baseline import Baseline, Images
from evaluation.baselines.classifiers import CLASSIFIERS, DeFake
from evaluation.baselines.efficientnet import EfficientNet
from evaluation.baselines.lora import ClipLora
from evaluation.store import Store


def baselines(
    clip: str, efficientnet: Path | None, store: Store, device: str, steps: int | None = None
) -> Mapping[str, Baseline]:
    """In the order of the tables. `clip` is an open_clip name, `efficientnet` a file of weights to start from.

    `steps` caps the gradient steps of a training further than each does by itself.
    """

    def most(default: int) -> int:
        return default if steps is None else min(default, steps)

    every: tuple[Baseline, ...] = (
        *CLASSIFIERS,
        DeFake(clip, most(DeFake.most)),
        ClipLora(clip, most(ClipLora.most), device),
        EfficientNet(efficientnet, most=most(EfficientNet.most), device=device),
        Autoencoders(store, most=most(Autoencoders.most), device=device),
    )
    return {each.name: each for each in every}


def chosen(every: Mapping[str, Baseline], names: Sequence[str] | None, images: Images) -> list[Baseline]:
    """The named ones, or all whose inputs these images have.

    Raises ConfigurationError for an unknown name, and for a baseline whose inputs are missing.
    """
    if names is None:
        return [each for each in every.values() if each.sees <= images.sights]
    for name in names:
        if name not in every:
            raise ConfigurationError(f"There is no baseline {name!r}; there are {', '.join(every)}.")
        missing = every[name].sees - images.sights
        if missing:
            raise ConfigurationError(f"{name} needs {' and '.join(sorted(missing))}, which this data does not have.")
    return [every[name] for name in dict.fromkeys(names)]
