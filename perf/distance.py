"""`make bench-distance`: the distances of a whole dataset beside a double loop over SciPy's.

Features have the shape of the papers' dataset with ViT-L's dimension: ten sources' originals of a hundred characters,
each resynthesized by ten sources. Requirements: cosine and correlation 15 times as fast as the loop, the others 8.
"""

import os

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import distance as scipy_distance

from attribution.distance import PAIRWISE
from perf.machine import copy_rate, fastest
from perf.report import Requirement, finish

SOURCES, CHARACTERS, DIMENSION = 10, 100, 768
LOOPS = {
    "cosine": (scipy_distance.cosine, 15.0),
    "correlation": (scipy_distance.correlation, 15.0),
    "euclidean": (scipy_distance.euclidean, 8.0),
    "manhattan": (scipy_distance.cityblock, 8.0),
}


def features() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(S, P, d) originals and (S, P, S, d) resyntheses, of unit length."""
    random = np.random.default_rng(0)
    originals = random.normal(size=(SOURCES, CHARACTERS, DIMENSION))
    resyntheses = random.normal(size=(SOURCES, CHARACTERS, SOURCES, DIMENSION)) + originals[:, :, None]
    unit = [rows / np.linalg.norm(rows, axis=-1, keepdims=True) for rows in (originals, resyntheses)]
    return unit[0].astype(np.float32), unit[1].astype(np.float32)


def main() -> None:
    """Measures and prints."""
    originals, resyntheses = features()
    rows, cube = originals.reshape(-1, DIMENSION), resyntheses.reshape(-1, SOURCES, DIMENSION)
    threads = os.cpu_count() or 1
    copied = copy_rate(resyntheses.nbytes, threads)
    print(f"{threads} threads copy {copied / 1e9:.1f} GB/s")
    figures: dict[str, object] = {"threads": threads, "copy_gb_per_second": round(copied / 1e9, 2)}
    requirements = []
    for name, (scipy_pair, at_least) in LOOPS.items():
        looped = np.zeros(cube.shape[:2])

        def loop() -> None:
            for i in range(len(cube)):
                for j in range(SOURCES):
                    looped[i, j] = scipy_pair(cube[i, j], rows[i])  # noqa: B023  called before the next turn

        slow = fastest(loop, 3)
        fast = fastest(lambda: PAIRWISE[name].between(originals, resyntheses), 60)  # noqa: B023
        distances = PAIRWISE[name].between(originals, resyntheses).reshape(looped.shape)
        assert (distances.argmin(axis=1) == looped.argmin(axis=1)).all(), f"{name}: other predictions than SciPy's"
        share = resyntheses.nbytes / fast / copied
        print(f"{name}: loop {1000 * slow:.0f} ms, ours {1000 * fast:.2f} ms, {100 * share:.0f} % of the copy rate")
        figures[name] = {
            "loop_ms": round(1000 * slow, 1),
            "ms": round(1000 * fast, 2),
            "times_faster": round(slow / fast, 1),
            "share_of_copy_rate": round(share, 3),
        }
        requirements.append(Requirement(f"{name}, times faster than the loop", slow / fast, at_least=at_least))
    finish("distance", figures, requirements)


if __name__ == "__main__":
    main()
