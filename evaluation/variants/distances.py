"""Distances side by side, on the same generated images."""

from typing import Any

import numpy as np

from attribution.distance import DISTANCES
from evaluation.metrics import interval, macro_auroc, softmax
from evaluation.variants.subject import Subject

DEFAULT = "cosine"


def distances(subject: Subject, images_per_source: int) -> list[dict[str, Any]]:
    """A row for each distance: how often it is right, and how much more often than cosine, query by query."""
    usual = subject.rankings(DEFAULT, images_per_source).right
    rows = []
    for name in DISTANCES:
        found = subject.rankings(name, images_per_source)
        two = np.sort(found.distances, axis=2)
        rows.append(
            {
                "distance": name,
                "accuracy": float(found.right.mean()),
                "interval_95": interval(found.right, subject.groups),
                "over_cosine": float(found.right.mean() - usual.mean()),
                "over_cosine_interval_95": interval(found.right.astype(float) - usual, subject.groups),
                "roc_auc": macro_auroc(softmax(found.flat), found.truth),
                "recall": {source: float(found.right[i].mean()) for i, source in enumerate(found.sources)},
                "recall_interval_95": {
                    source: interval(found.right[i], subject.groups) for i, source in enumerate(found.sources)
                },
                "ties": float((two[:, :, 0] == two[:, :, 1]).mean()),
            }
        )
    return rows
