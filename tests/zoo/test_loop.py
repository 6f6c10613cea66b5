"""The training loop: a number of steps, whatever interrupts it."""

from pathlib import Path

import pytest
import torch
from torch import nn

from zoo import loop


class Killed(Exception):
    """Stands for the power going out."""


def test_an_interrupted_training_does_every_step_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after its fifth step and started again, it does the other seven and reports all twelve."""
    monkeypatch.setattr(loop, "WORK", tmp_path)
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", -1.0)
    done: list[int] = []

    def run(until: int) -> dict[str, float]:
        model = nn.Linear(1, 1)

        def step(count: int) -> dict[str, torch.Tensor]:
            if count == until:
                raise Killed
            done.append(count)
            return {"loss": (model(torch.ones(1, 1)) - 1).square().mean()}

        return loop.train("toy", nn.ModuleDict({"model": model}), step, steps=12, peak=1e-2, warmup=2)

    with pytest.raises(Killed):
        run(until=5)
    report = run(until=99)
    assert done == list(range(12))
    assert report["steps"] == 12
    assert not list(tmp_path.glob("*.partial"))
