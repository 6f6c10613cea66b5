"""How like the true prompt a caption is, and what that has to do with the attribution being right (arXiv 2403.01489).

Two measures of likeness: the cosine between CLIP's text features, and the words in common (F1, as ROUGE-1 has it).
Intervals come from generating characters again: queries that share one share its difficulty.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from attribution.embed.pretrained import load_clip
from attribution.quiet import quiet
from evaluation.metrics import auroc

RESAMPLES = 2_000
Likeness = NDArray[np.float64]
Right = NDArray[np.bool_]


class TextTower:
    """CLIP's text features of an open_clip name, as embedders have it."""

    def __init__(self, name: str) -> None:
        clip = load_clip(name)
        self._model, self._tokenizer = clip.model, clip.tokenizer()

    def features(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """(n, d) of unit norm."""
        with quiet(), torch.inference_mode():
            rows = self._model.encode_text(self._tokenizer(list(texts)), normalize=True)
        found: NDArray[np.float64] = rows.numpy().astype(np.float64)
        return found


def clip_cosine(tower: TextTower, captions: Sequence[str], truths: Sequence[str]) -> Likeness:
    """(n,)"""
    return np.asarray((tower.features(captions) * tower.features(truths)).sum(axis=1))


def token_f1(captions: Sequence[str], truths: Sequence[str]) -> Likeness:
    """(n,) words in common, whatever their order, as a share of both texts' words."""
    return np.array([_f1(*pair) for pair in zip(captions, truths, strict=True)])


def _f1(caption: str, truth: str) -> float:
    said, true = Counter(caption.lower().split()), Counter(truth.lower().split())
    both = sum((said & true).values())
    return 2 * both / (said.total() + true.total()) if both else 0.0


def tells(likeness: Likeness, right: Right) -> dict[str, Mapping[str, float | list[float]] | None]:
    """How well likeness tells right from wrong attributions, (…, P) both: AUROC and point-biserial correlation.

    Each with the middle 95 % over characters, columns, generated with replacement; None where all are right, or all wrong,
    or all alike.
    """
    return {
        "auroc": _with_interval(lambda alike, correct: auroc(alike[correct], alike[~correct]), likeness, right),
        "point_biserial": _with_interval(point_biserial, likeness, right),
    }


def steps(likeness: Likeness, right: Right, count: int = 5) -> list[dict[str, Any]]:
    """From the least alike captions to the likest, in at most `count` parts of about the same size: how many are right.

    (…, P) both; with the middle 95 % over characters. Captions that are as like are in the same part.
    """
    rows = likeness.reshape(-1, likeness.shape[-1])
    correct = right.reshape(rows.shape).astype(np.float64)
    bounds = np.unique(np.quantile(rows, np.linspace(0, 1, count + 1)[1:-1]))
    part = np.searchsorted(bounds, rows, "left")
    chosen = np.random.default_rng(0).integers(0, rows.shape[1], (RESAMPLES, rows.shape[1]))
    found = []
    for at in np.unique(part):
        here = part == at
        sizes, sums = here.sum(axis=0), (correct * here).sum(axis=0)
        generated = sizes[chosen].sum(axis=1)
        shares = sums[chosen].sum(axis=1)[generated > 0] / generated[generated > 0]
        low, high = np.quantile(shares, [0.025, 0.975])
        found.append(
            {
                "likeness": float(rows[here].mean()),
                "originals": int(here.sum()),
                "accuracy": float(correct[here].mean()),
                "interval_95": [float(low), float(high)],
            }
        )
    return found


def point_biserial(likeness: Likeness, right: Right) -> float:
    """Pearson's correlation with what is either right or wrong; NaN where either does not vary."""
    if likeness.std() == 0 or right.std() == 0:
        return float("nan")
    return float(np.corrcoef(likeness, right.astype(np.float64))[0, 1])


def _with_interval(
    statistic: Callable[[Likeness, Right], float], likeness: Likeness, right: Right
) -> Mapping[str, float | list[float]] | None:
    alike, correct = likeness.reshape(-1, likeness.shape[-1]), right.reshape(-1, right.shape[-1])
    value = statistic(alike.ravel(), correct.ravel())
    if not np.isfinite(value) or likeness.std() == 0:
        return None
    random, count = np.random.default_rng(0), alike.shape[1]
    generated = (random.integers(0, count, count) for _ in range(RESAMPLES))
    values = np.array([statistic(alike[:, columns].ravel(), correct[:, columns].ravel()) for columns in generated])
    low, high = np.nanquantile(values, [0.025, 0.975])
    return {"value": value, "interval_95": [float(low), float(high)]}
