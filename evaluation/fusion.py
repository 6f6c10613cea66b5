"""The plug-in, counted: a trained method alone, and fused with resynthesis by a weight chosen on other queries.

Scores are (…, S, P, S): who generated it, whom it shows, whom it may be by; z-scores within each answer.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution.fuse import fused_scores
from evaluation.metrics import Indices, interval

WEIGHTS = np.linspace(0, 1, 21)
Floats = NDArray[np.float64]


def by_weight(own: Floats, theirs: Floats) -> Floats:
    """Accuracy for each of WEIGHTS."""
    return np.array([right(fused_scores(own, theirs, weight)).mean() for weight in WEIGHTS])


def right(scores: Floats) -> Floats:
    """(…, S, P) whether the greatest of the scores is the right one's; the first of equal ones counts."""
    s = scores.shape[-1]
    found: Floats = (scores.argmax(axis=-1) == np.arange(s)[:, None]).astype(np.float64)
    return found


def gains(
    alone: Floats, ours: Floats, fused: Floats, groups: Sequence[int] | Indices, weights: Sequence[float]
) -> dict[str, Any]:
    """(S, P) shares of right answers side by side, with intervals over groups of columns: see metrics.interval."""
    return {
        "weights": list(weights),
        "weight": float(np.mean(weights)),
        **{
            name: {"accuracy": float(values.mean()), "interval_95": interval(values, groups)}
            for name, values in (("alone", alone), ("resynthesis", ours), ("fused", fused))
        },
        "gain": float((fused - alone).mean()),
        "gain_interval_95": interval(fused - alone, groups),
        "gain_over_resynthesis": float((fused - ours).mean()),
        "gain_over_resynthesis_interval_95": interval(fused - ours, groups),
    }
