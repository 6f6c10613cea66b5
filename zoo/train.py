"""`make zoo`: trains everything from nothing, in order; finished stages are skipped, an interrupted one resumes.

Every stage has a number of gradient steps, so that a machine's speed and what else it does change when it is done, not
what it learns. Progress lives in zoo/.work; remove that folder to start afresh.
"""

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import typer

from zoo import loop
from zoo.data import Avatars, training_avatars
from zoo.paths import WORK


@dataclass(frozen=True, slots=True)
class TrainingStage:
    """One step of the queue: what it does in how many gradient steps."""

    name: str
    steps: int
    run: Callable[[Avatars, int], None]


def _module(name: str) -> Callable[[Avatars, int], None]:
    """A module that trains itself."""

    def run(avatars: Avatars, steps: int) -> None:
        importlib.import_module(f"zoo.{name}").train(avatars, steps)

    return run


def _source(
    name: str, module: str, recipe: str, peak: float, size: int = 64, stage: str | None = None
) -> Callable[[Avatars, int], None]:
    """A source trained by what all have in common, from the recipe of that name.

    `stage` names the checkpoint of a source that is trained on from the weights it has.
    """

    def run(avatars: Avatars, steps: int) -> None:
        from zoo import diffuse

        built = getattr(importlib.import_module(f"zoo.{module}"), recipe)()
        diffuse.train(name, built, avatars, steps=steps, peak=peak, size=size, stage=stage)

    return run


def _fine(avatars: Avatars, steps: int) -> None:
    from zoo import autoencoder

    autoencoder.train(avatars, steps, autoencoder.FINE)


STAGES = (
    TrainingStage("autoencoder", 1854, _module("autoencoder")),
    TrainingStage("unet", 1376, _source("unet", "unet", "UNetRecipe", 1e-3)),
    TrainingStage("dit", 919, _source("dit", "dit", "DiTRecipe", 1.5e-3)),
    TrainingStage("clip", 710, _module("clip")),
    TrainingStage("captioner", 1196, _module("captioner")),
    TrainingStage("mmdit", 1386, _source("mmdit", "mmdit", "MMDiTRecipe", 1.5e-3)),
    TrainingStage("lcm", 567, _module("lcm")),
    TrainingStage("fine", 600, _fine),
    TrainingStage("encoder", 350, _module("encoder")),
    TrainingStage("flux", 600, _source("flux", "flux", "FluxRecipe", 1.5e-3)),
    TrainingStage("vunet", 200, _source("vunet", "unet", "VelocityRecipe", 5e-4)),
    TrainingStage("flux-tuned", 120, _source("flux-tuned", "flux", "FluxTunedRecipe", 5e-4)),
    TrainingStage("unet-tuned", 120, _source("unet-tuned", "unet", "UNetTunedRecipe", 4e-4)),
    TrainingStage("pixart", 1150, _source("pixart", "pixart", "PixArtRecipe", 1.5e-3)),
    TrainingStage("vq", 600, _module("vq")),
    TrainingStage("amused", 550, _source("amused", "amused", "AmusedRecipe", 1.5e-3, 32)),
    TrainingStage("amused-more", 1000, _source("amused", "amused", "AmusedMoreRecipe", 1e-3, 32, "amused-more")),
    TrainingStage("pixel", 400, _source("pixel", "pixel", "PixelRecipe", 1.5e-3, 48)),
    TrainingStage("pixel-more", 500, _source("pixel", "pixel", "PixelMoreRecipe", 1e-3, 24, "pixel-more")),
    TrainingStage("mmdit-tuned", 130, _source("mmdit-tuned", "mmdit", "MMDiTTunedRecipe", 5e-4)),
    TrainingStage("pixart-lcm", 300, _source("pixart-lcm", "pixart", "PixArtLCMRecipe", 3e-4, 48)),
    TrainingStage("sd3", 700, _source("sd3", "sd3", "SD3Recipe", 1.5e-3)),
)


def main(
    stages: Annotated[list[str] | None, typer.Argument(help="only these; default: all that are not finished")] = None,
    speed: Annotated[float, typer.Option(help="divide every number of steps by this, to try it out")] = 1.0,
) -> None:
    """Runs what is not finished."""
    loop.configure()
    avatars = training_avatars()
    for stage in STAGES:
        finished = WORK / f"{stage.name}.done"
        if finished.exists() or (stages and stage.name not in stages):
            continue
        begun = time.monotonic()
        steps = round(stage.steps / speed)
        print(f"== {stage.name}: {steps} steps", flush=True)
        stage.run(avatars, steps)
        finished.touch()
        print(f"== {stage.name}: done after {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    typer.run(main)
