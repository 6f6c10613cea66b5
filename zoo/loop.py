"""One training loop for every model: a number of steps, a cosine over them, averaged weights, checkpoints, resuming."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from zoo.paths import WORK

CHECKPOINT_EVERY = 60.0  # seconds


def configure(threads: int = 2) -> None:
    """To be called before any tensor is touched: new threads inherit the flag.

    Denormal numbers made the autoencoder three times slower after its first hundred steps.
    """
    torch.set_flush_denormal(True)
    torch.set_num_threads(threads)


def train(
    name: str,
    modules: nn.ModuleDict,
    step: Callable[[int], dict[str, torch.Tensor]],
    *,
    steps: int,
    peak: float,
    warmup: int = 100,
    decay: float = 0.01,
    betas: tuple[float, float] = (0.9, 0.98),
    ema: float = 0.995,
) -> dict[str, float]:
    """Trains `modules` for `steps` steps, whatever interrupts them, and leaves the EMA weights in them.

    `step` returns its losses by name; the one called "loss" is minimized. Returns the last averages, steps and
    processor seconds: those do not depend on other processes of the machine.
    """
    path = WORK / f"{name}.checkpoint.pt"
    parameters = [parameter for parameter in modules.parameters() if parameter.requires_grad]
    average = [parameter.detach().clone() for parameter in parameters]
    optimizer = torch.optim.AdamW(parameters, lr=peak, betas=betas, weight_decay=decay)
    spent, count = 0.0, 0
    if path.exists():
        state = torch.load(path, weights_only=True)
        modules.load_state_dict(state["modules"])
        optimizer.load_state_dict(state["optimizer"])
        average, spent, count = state["average"], state["spent"], state["count"]
        print(f"{name}: resumed at step {count}", flush=True)
    # Which examples come next does not depend on what was sampled before an interruption.
    torch.manual_seed(count)
    modules.train()
    shown: dict[str, float] = {}
    begun = time.process_time() - spent
    saved = printed = time.monotonic()
    while count < steps:
        rate = peak * min(1.0, (count + 1) / warmup) * max(0.01, 0.5 + 0.5 * math.cos(math.pi * count / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        losses = step(count)
        optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        count += 1
        with torch.no_grad():
            # At first over the last tenth of the steps: a source of 400 steps was far worse when all of them counted.
            torch._foreach_lerp_(average, list[torch.Tensor](parameters), max(1 - ema, 10 / (count + 10)))
        for key, value in losses.items():
            shown[key] = 0.95 * shown.get(key, value.item()) + 0.05 * value.item()
        spent, now = time.process_time() - begun, time.monotonic()
        if now - printed > 20:
            printed = now
            print(f"{name}: step {count} of {steps}, {spent:.0f} processor seconds, " + _line(shown), flush=True)
        if now - saved > CHECKPOINT_EVERY or count == steps:
            saved = now
            _save(path, modules, optimizer, average, spent, count)
    with torch.no_grad():
        for parameter, mean in zip(parameters, average, strict=True):
            parameter.copy_(mean)
    modules.eval()
    report = {"steps": count, "cpu_seconds": round(spent), **{key: round(value, 4) for key, value in shown.items()}}
    (WORK / f"{name}.report.json").write_text(json.dumps(report))
    return report


def _line(values: dict[str, float]) -> str:
    return ", ".join(f"{key} {value:.4f}" for key, value in values.items())


def _save(
    path: Path,
    modules: nn.ModuleDict,
    optimizer: torch.optim.Optimizer,
    average: list[torch.Tensor],
    spent: float,
    count: int,
) -> None:
    """Writes beside and renames, so that a kill while saving leaves the older checkpoint."""
    state = {
        "modules": modules.state_dict(),
        "optimizer": optimizer.state_dict(),
        "average": average,
        "spent": spent,
        "count": count,
    }
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.rename(path)
