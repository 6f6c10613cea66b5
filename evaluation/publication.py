"""The figures that the published scripts of arXiv 2510.24278 print, from the feature files they read.

Distances go pair by pair through the very functions those scripts call, in the files' own precision: in float32 ties
exist that better arithmetic would resolve, and the area under the ROC counts them. The fast path of this project is
compared with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import distance as scipy_distance
from scipy.special import softmax

from attribution.distance import PAIRWISE
from attribution.errors import ConfigurationError
from evaluation import layout
from evaluation.characters import Side, sides
from evaluation.metrics import confusion, macro_auroc, nearest, top

_BY_SCRIPT = {
    "euclidean": scipy_distance.euclidean,
    "manhattan": scipy_distance.cityblock,
    "cosine": scipy_distance.cosine,
    "correlation": scipy_distance.correlation,
}
RESYNTHESES = "clip_features.npy"
_ORIGINALS = "clip_references_features"


@dataclass(frozen=True)
class Published:
    """(S, P, S, d) resyntheses and, per transform of the originals ("plain" for none), (S, P, d)."""

    sources: tuple[str, ...]
    resyntheses: NDArray[np.floating]
    originals: dict[str, NDArray[np.floating]]


def read(folder: Path, names: Sequence[str] | None = None) -> Published:
    """All feature files of a folder. Raises ConfigurationError naming the file whose shape does not fit."""
    resyntheses = _load(folder / RESYNTHESES, 4)
    count, people, again, d = resyntheses.shape
    if count != again:
        raise ConfigurationError(f"{folder / RESYNTHESES}: its shape {resyntheses.shape} is not (S, P, S, D).")
    files = sorted(folder.glob(f"{_ORIGINALS}*.npy"))
    originals = {path.stem.removeprefix(_ORIGINALS).removeprefix("_") or "plain": _load(path, 3) for path in files}
    if not originals:
        raise ConfigurationError(f"There is no {_ORIGINALS}.npy in {folder}.")
    for transform, rows in originals.items():
        if rows.shape != (count, people, d):
            raise ConfigurationError(
                f"The originals ({transform}) have the shape {rows.shape}, not {(count, people, d)}."
            )
    known = (*layout.CORE, *layout.EXTENSION)
    sources = tuple(names or (known[:count] if count <= len(known) else (f"source-{k}" for k in range(count))))
    if len(sources) != count:
        raise ConfigurationError(f"{folder / RESYNTHESES} holds {count} sources, but {len(sources)} names were given.")
    return Published(sources, resyntheses, originals)


def report(found: Published, transform: str, distance: str, subset: Side | None = None) -> dict[str, Any]:
    """Predictions, accuracy, top-3, ROC-AUC and confusion matrix of one run of the script: of all people or a side."""
    people = slice(None) if subset is None else list(sides(found.resyntheses.shape[1])[subset])
    originals = found.originals[transform][:, people]
    count, persons, d = originals.shape
    rows = originals.reshape(-1, d)
    cube = found.resyntheses[:, people].reshape(len(rows), count, d)
    truth = np.repeat(np.arange(count), persons)

    pair = _BY_SCRIPT[distance]
    distances = np.array(
        [
            [pair(generated_image, row) for generated_image in generated_images]
            for generated_images, row in zip(cube, rows, strict=True)
        ]
    )
    scores = softmax(-distances.astype(np.float64), axis=1)
    predicted = distances.argmin(axis=1)
    # scikit-learn sorts scores upwards and reads from the end: of equal scores the later source counts as nearer.
    order = np.argsort(scores, axis=1, kind="stable")[:, ::-1]

    fast = PAIRWISE[distance].between(rows, cube)
    return {
        "transform": transform,
        "distance": distance,
        "subset": subset or "all",
        "queries": len(rows),
        "accuracy": float((predicted == truth).mean()),
        "top3": float(top(order, truth, 3).mean()),
        "roc_auc": macro_auroc(scores, truth),
        "confusion": confusion(predicted, truth, count).tolist(),
        "predictions": predicted.tolist(),
        "fast_path": {
            "other_predictions": int((nearest(fast)[:, 0] != predicted).sum()),
            "largest_difference": float(np.abs(fast - distances).max()),
        },
    }


def _load(path: Path, dimensions: int) -> NDArray[np.floating]:
    try:
        rows: NDArray[np.floating] = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read as an array: {error}") from error
    if rows.ndim != dimensions or rows.dtype not in (np.float32, np.float64):
        raise ConfigurationError(f"{path} holds {rows.dtype} of {rows.ndim} dimensions, not floats of {dimensions}.")
    return rows
