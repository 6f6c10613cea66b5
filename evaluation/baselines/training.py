"""Gradient training, for all baselines that need it: transformers' Trainer, without output and checkpoints."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn
from torch.utils.data import IterableDataset
from torchvision.transforms.functional import pil_to_tensor
from transformers import Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from attribution.image import load
from attribution.library_output import suppress_library_output


@dataclass(frozen=True)
class Schedule:
    """AdamW for so many steps, with batches that are smaller where there are fewer images."""

    rate: float
    batch: int
    decay: float = 0.0
    shape: str = "constant"
    shape_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def setting(self) -> dict[str, Any]:
        """For the record."""
        return {"optimizer": "AdamW", "rate": self.rate, "batch": self.batch, "decay": self.decay, "shape": self.shape}


def load_pixels(files: Sequence[Path], size: int) -> torch.Tensor:
    """(n, 3, size, size) in [0, 1]."""
    images = [load(file).image.convert("RGB") for file in files]
    resized = [image if image.size == (size, size) else image.resize((size, size)) for image in images]
    return torch.stack([pil_to_tensor(image) for image in resized]).float() / 255


def train(
    model: nn.Module, pixels: torch.Tensor, labels: torch.Tensor, schedule: Schedule, steps: int, seed: int, device: str
) -> None:
    """Trains a model whose forward(pixels, labels) returns a dictionary with its `loss`; leaves it on the CPU."""
    with TemporaryDirectory() as folder, suppress_library_output():
        arguments = TrainingArguments(
            folder,
            max_steps=steps,
            per_device_train_batch_size=min(schedule.batch, len(pixels)),
            learning_rate=schedule.rate,
            weight_decay=schedule.decay,
            lr_scheduler_type=schedule.shape,
            lr_scheduler_kwargs=dict(schedule.shape_options),
            seed=seed,
            use_cpu=device == "cpu",
            dataloader_pin_memory=device != "cpu",
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        trainer = Trainer(model, arguments, train_dataset=_Endless(pixels, labels, seed))
        trainer.remove_callback(PrinterCallback)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.train()
    model.cpu().eval()


class _Endless(IterableDataset[dict[str, torch.Tensor]]):
    """All images again and again, each time in a new order. Epochs cost the Trainer time: this is one."""

    def __init__(self, pixels: torch.Tensor, labels: torch.Tensor, seed: int) -> None:
        self.pixels, self.labels, self.seed = pixels, labels, seed

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        random = torch.Generator().manual_seed(self.seed)
        while True:
            for at in torch.randperm(len(self.pixels), generator=random).tolist():
                yield {"pixels": self.pixels[at], "labels": self.labels[at]}
