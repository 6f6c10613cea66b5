"""How long does an image take? `python -m zoo.speed [SOURCE…]`, with every core to itself and one image at a time.

The median of ten, generated through the service's own adapter; fails where it is above the bound.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time

from attribution.ports import Deadline
from zoo import loop
from zoo.captions import Split, sample
from zoo.freeze import ENTRIES, generator

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


def main() -> int:
    """Measures the sources named, or all; 0 if every one keeps the bound."""
    keys = [entry.key for entry in ENTRIES]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="*", choices=[*keys, []], help="default: all")
    options = parser.parse_args()
    cores = os.cpu_count() or 1
    loop.configure(cores)
    slow = []
    for key in options.sources or keys:
        took = seconds(key)
        print(f"{key:<12} {took:.3f} s an image on {cores} cores", flush=True)
        if took > BOUND:
            slow.append(key)
    if slow:
        print(f"more than {BOUND} s: {', '.join(slow)}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
