"""How long does an image take? `python -m zoo.speed [SOURCE…]`, with every core to itself and one image at a time.

The median of ten, generated through the service's own adapter; fails where it is above the bound.
"""

import os
import statistics
import time

import typer

from attribution.ports import Deadline
from zoo import loop
from zoo.captions import Split, sample
from zoo.freeze import KEYS, Keys, generator

IMAGES = 10
BOUND = 0.3  # seconds


def seconds(key: str) -> float:
    """The median over images, the first of which is not counted: it is slower."""
    source = generator(key)
    took = []
    for number, face in enumerate(sample(Split.CALIBRATION, IMAGES + 1, seed=7)):
        begun = time.perf_counter()
        source.generate(face.caption, [number], Deadline.after(600))
        took.append(time.perf_counter() - begun)
    return statistics.median(took[1:])


def main(sources: Keys = None) -> None:
    """Measures sources, or all. Exits 1 where one is slower than the bound."""
    cores = os.cpu_count() or 1
    loop.configure(cores)
    slow = []
    for key in sources or KEYS:
        took = seconds(key)
        print(f"{key:<12} {took:.3f} s an image on {cores} cores", flush=True)
        if took > BOUND:
            slow.append(key)
    if slow:
        print(f"more than {BOUND} s: {', '.join(slow)}")
    raise typer.Exit(bool(slow))


if __name__ == "__main__":
    typer.run(main)
