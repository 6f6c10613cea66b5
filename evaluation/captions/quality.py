"""How similar a caption is to the true prompt, and whether that predicts a right attribution (arXiv 2403.01489).

Two measures of similarity: the cosine between CLIP's text features, and the words in common (F1, as in ROUGE-1).
Intervals come from resampling characters: queries that share one share its difficulty.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from attribution.embed.pretrained import load_clip
from attribution.library_output import suppress_library_output
from evaluation.metrics import auroc

RESAMPLES = 2_000
Similarity = NDArray[np.float64]
Right = NDArray[np.bool_]


class TextTower:
    """CLIP's text features of an open_clip name, as for embedders."""

    def __init__(self, name: str) -> None:
        clip = load_clip(name)
        self._model, self._tokenizer = clip.model, clip.tokenizer()

    def features(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """(n, d) of unit norm."""
        with suppress_library_output(), torch.inference_mode():
            rows = self._model.encode_text(self._tokenizer(list(texts)), normalize=True)
        found: NDArray[np.float64] = rows.numpy().astype(np.float64)
        return found


def clip_cosine(tower: TextTower, captions: Sequence[str], truths: Sequence[str]) -> Similarity:
    """(n,)"""
    return np.asarray((tower.features(captions) * tower.features(truths)).sum(axis=1))


def token_f1(captions: Sequence[str], truths: Sequence[str]) -> Similarity:
    """(n,) words in common, whatever their order, as a share of both texts' words."""
    return np.array([_f1(*pair) for pair in zip(captions, truths, strict=True)])


def _f1(caption: str, truth: str) -> float:
    words, true = Counter(caption.lower().split()), Counter(truth.lower().split())
    both = sum((words & true).values())
    return 2 * both / (words.total() + true.total()) if both else 0.0


def predicts(similarity: Similarity, right: Right) -> dict[str, Mapping[str, float | list[float]] | None]:
    """How well similarity separates right from wrong attributions, (…, P) both: AUROC and point-biserial correlation.

    Each with the middle 95 % over characters, columns, resampled with replacement; None where all attributions are
    right, or all wrong, or all captions equally similar.
    """
    return {
        "auroc": _with_interval(lambda similar, correct: auroc(similar[correct], similar[~correct]), similarity, right),
        "point_biserial": _with_interval(point_biserial, similarity, right),
    }


def steps(similarity: Similarity, right: Right, count: int = 5) -> list[dict[str, Any]]:
    """Accuracy from the least to the most similar captions, in at most `count` parts of about the same size.

    (…, P) both; with the middle 95 % over characters. Equally similar captions are in the same part.
    """
    rows = similarity.reshape(-1, similarity.shape[-1])
    correct = right.reshape(rows.shape).astype(np.float64)
    bounds = np.unique(np.quantile(rows, np.linspace(0, 1, count + 1)[1:-1]))
    part = np.searchsorted(bounds, rows, "left")
    chosen = np.random.default_rng(0).integers(0, rows.shape[1], (RESAMPLES, rows.shape[1]))
    found = []
    for at in np.unique(part):
        here = part == at
        sizes, sums = here.sum(axis=0), (correct * here).sum(axis=0)
        totals = sizes[chosen].sum(axis=1)
        shares = sums[chosen].sum(axis=1)[totals > 0] / totals[totals > 0]
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


def point_biserial(similarity: Similarity, right: Right) -> float:
    """Pearson's correlation with a binary variable; NaN where either does not vary."""
    if similarity.std() == 0 or right.std() == 0:
        return float("nan")
    return float(np.corrcoef(similarity, right.astype(np.float64))[0, 1])


def _with_interval(
    statistic: Callable[[Similarity, Right], float], similarity: Similarity, right: Right
) -> Mapping[str, float | list[float]] | None:
    similar, correct = similarity.reshape(-1, similarity.shape[-1]), right.reshape(-1, right.shape[-1])
    value = statistic(similar.ravel(), correct.ravel())
    if not np.isfinite(value) or similarity.std() == 0:
        return None
    random, count = np.random.default_rng(0), similar.shape[1]
    samples = (random.integers(0, count, count) for _ in range(RESAMPLES))
    values = np.array([statistic(similar[:, columns].ravel(), correct[:, columns].ravel()) for columns in samples])
    low, high = np.nanquantile(values, [0.025, 0.975])
    return {"value": value, "interval_95": [float(low), float(high)]}
