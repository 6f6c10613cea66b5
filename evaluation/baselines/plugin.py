"""What a baseline gains when its scores are fused with resynthesis (arXiv 2403.01489), from the very cells of T1.

Every repeat chooses the weight on its validation characters and counts on its test characters. Intervals are over
characters: one that is on the test side of several repeats is generated as one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution.fuse import fused_scores, z_scores
from evaluation.baselines.cells import CellResult
from evaluation.baselines.splits import CharacterSplit
from evaluation.fusion import WEIGHTS, by_weight, gains, right

SHOTS = (1, 5, 10)


def plugin(
    own: NDArray[np.float64],
    characters: Sequence[int],
    splits: Sequence[CharacterSplit],
    curves: Mapping[str, Mapping[int, Sequence[CellResult]]],
) -> list[dict[str, Any]]:
    """A row for each baseline and number of shots, of those that were measured; `own` are z-scores (S, P, S)."""
    groups = [characters[at] for split in splits for at in split.test]
    rows = []
    for name, curve in curves.items():
        for n in (n for n in SHOTS if n in curve):
            weights = []
            shares: dict[str, list[NDArray[np.float64]]] = {"alone": [], "ours": [], "fused": []}
            for split, answer in zip(splits, curve[n], strict=True):
                held, theirs = len(split.validation), z_scores(answer.scores)
                ours = own[:, list(split.test)]
                chosen = by_weight(own[:, list(split.validation)], theirs[:, :held])
                weights.append(float(WEIGHTS[chosen.argmax()]))
                shares["alone"].append(right(theirs[:, held:]))
                shares["ours"].append(right(ours))
                shares["fused"].append(right(fused_scores(ours, theirs[:, held:], weights[-1])))
            side_by_side = {part: np.concatenate(each, axis=1) for part, each in shares.items()}
            rows.append({"method": name, "shots": n} | gains(**side_by_side, groups=groups, weights=weights))
    return rows
