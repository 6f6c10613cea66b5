"""`make zoo`: trains everything from nothing, in order; finished stages are skipped, an interrupted one resumes.

Stages, their seconds and their progress live in zoo/.work; remove that folder to start afresh.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

from zoo import loop
from zoo.data import Drawings, training_drawings
from zoo.paths import WORK


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the queue: what it does, and its share of wall-clock seconds on two cores."""

    name: str
    seconds: float
    run: Callable[[Drawings, float], None]


def _autoencoder(drawings: Drawings, seconds: float) -> None:
    from zoo import autoencoder

    autoencoder.train(drawings, seconds)


def _unet(drawings: Drawings, seconds: float) -> None:
    from zoo import diffuse, unet

    diffuse.train("unet", unet.UNetRecipe(), drawings, seconds=seconds, peak=1e-3)


def _dit(drawings: Drawings, seconds: float) -> None:
    from zoo import diffuse, dit

    diffuse.train("dit", dit.DiTRecipe(), drawings, seconds=seconds, peak=1.5e-3)


def _mmdit(drawings: Drawings, seconds: float) -> None:
    from zoo import diffuse, mmdit

    diffuse.train("mmdit", mmdit.MMDiTRecipe(), drawings, seconds=seconds, peak=1.5e-3)


def _lcm(drawings: Drawings, seconds: float) -> None:
    from zoo import lcm

    lcm.train(drawings, seconds)


def _clip(drawings: Drawings, seconds: float) -> None:
    from zoo import clip

    clip.train(drawings, seconds)


def _captioner(drawings: Drawings, seconds: float) -> None:
    from zoo import captioner

    captioner.train(drawings, seconds)


STAGES = (
    Stage("autoencoder", 520, _autoencoder),
    Stage("unet", 660, _unet),
    Stage("dit", 840, _dit),
    Stage("clip", 360, _clip),
    Stage("captioner", 420, _captioner),
    Stage("mmdit", 480, _mmdit),
    Stage("lcm", 210, _lcm),
)


def main() -> None:
    """Runs what is not finished."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stages", nargs="*", help="only these (default: all that are not finished)")
    parser.add_argument("--speed", type=float, default=1.0, help="divide every budget by this, to try the queue")
    options = parser.parse_args()
    loop.configure()
    drawings = training_drawings()
    for stage in STAGES:
        finished = WORK / f"{stage.name}.done"
        if finished.exists() or (options.stages and stage.name not in options.stages):
            continue
        begun = time.monotonic()
        print(f"== {stage.name}: {stage.seconds / options.speed:.0f} s of training", flush=True)
        stage.run(drawings, stage.seconds / options.speed)
        finished.touch()
        print(f"== {stage.name}: done after {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
