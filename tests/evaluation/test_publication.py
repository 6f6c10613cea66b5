"""The published scripts' figures, against a plain restatement of them with SciPy and scikit-learn."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
import sklearn.metrics
from scipy.spatial import distance as scipy_distance

from attribution.errors import ConfigurationError
from evaluation import publication
from evaluation.characters import SEED, Side

PAIRS = {
    "euclidean": scipy_distance.euclidean,
    "manhattan": scipy_distance.cityblock,
    "cosine": scipy_distance.cosine,
    "correlation": scipy_distance.correlation,
}
S, P, D = 10, 20, 48


@pytest.fixture(scope="module", params=["float32", "float64"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Feature files in which sources are separable sometimes; with a distortion, ties, and twins of the query."""
    random = np.random.default_rng(12)
    style = random.normal(size=(S, D)) / 3
    person = random.normal(size=(P, D))
    references = style[:, None] + person + random.normal(size=(S, P, D))
    features = style + (references / 2)[:, :, None] + random.normal(size=(S, P, S, D))
    features[3, :, 5] = features[3, :, 2]  # a tie in every query of one source
    features[4, :4, 6] = references[4, :4]
    distorted = references + random.normal(size=references.shape)
    directory = tmp_path_factory.mktemp("features")
    for name, rows in {
        "features": features,
        "references_features": references,
        "references_features_jpeg": distorted,
    }.items():
        unit = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
        np.save(directory / f"clip_{name}.npy", unit.astype(request.param))
    return directory


def restated(folder: Path, transform: str, distance: str, subset: str) -> dict[str, Any]:
    """Their procedure: shuffle, split, a double loop, softmax of negative distances, scikit-learn's metrics."""
    suffix = "" if transform == "plain" else f"_{transform}"
    images = np.load(folder / "clip_features.npy")
    originals = np.load(folder / f"clip_references_features{suffix}.npy")
    indices = list(range(P))
    np.random.RandomState(SEED).shuffle(indices)
    blocks = {"all": list(range(P)), "test": indices[16:18], "validation": indices[18:]}
    images, originals = images[:, blocks[subset]], originals[:, blocks[subset]]
    queries = np.concatenate(list(originals))
    generated = np.concatenate(list(images))
    distances = np.zeros((len(queries), S))
    for i in range(len(queries)):
        for j in range(S):
            distances[i][j] = PAIRS[distance](generated[i][j], queries[i])
    probabilities = scipy.special.softmax(-distances, axis=1)
    predicted = np.argmin(distances, axis=1)
    truth = np.repeat(np.arange(S), len(blocks[subset]))
    return {
        "predictions": predicted.tolist(),
        "accuracy": sklearn.metrics.accuracy_score(truth, predicted),
        "top3": sklearn.metrics.top_k_accuracy_score(truth, probabilities, k=3),
        "roc_auc": sklearn.metrics.roc_auc_score(np.eye(S)[truth], probabilities),
        "confusion": sklearn.metrics.confusion_matrix(truth, predicted, labels=range(S)).tolist(),
    }


@pytest.mark.parametrize("subset", ["all", "test", "validation"])
@pytest.mark.parametrize("transform", ["plain", "jpeg"])
@pytest.mark.parametrize("distance", sorted(PAIRS))
def test_the_figures_are_theirs(folder: Path, distance: str, transform: str, subset: str) -> None:
    """Predictions, accuracy, top-3 with its own rule for ties, confusion matrix; ROC-AUC but for its last digit."""
    found = publication.read(folder)
    assert set(found.originals) == {"plain", "jpeg"}
    assert found.sources[0] == "bing"
    side = None if subset == "all" else Side(subset)
    ours, theirs = publication.report(found, transform, distance, side), restated(folder, transform, distance, subset)
    assert ours["roc_auc"] == pytest.approx(theirs.pop("roc_auc"), abs=1e-12)
    assert {key: ours[key] for key in theirs} == theirs
    assert ours["fast_path"]["other_predictions"] == 0
    assert ours["fast_path"]["largest_difference"] < (1e-5 if found.resyntheses.dtype == np.float32 else 1e-9)


def test_files_that_do_not_fit_are_named(tmp_path: Path) -> None:
    """Wrong axes, wrong kind, missing originals, too few names."""
    path = tmp_path / "clip_features.npy"
    np.save(path, np.zeros((3, 4, 2, 5), np.float32))
    with pytest.raises(ConfigurationError, match=r"\(S, P, S, D\)"):
        publication.read(tmp_path)
    np.save(path, np.zeros((3, 4, 3, 5), np.int64))
    with pytest.raises(ConfigurationError, match="int64"):
        publication.read(tmp_path)
    np.save(path, np.zeros((3, 4, 3, 5), np.float32))
    with pytest.raises(ConfigurationError, match="clip_references_features"):
        publication.read(tmp_path)
    np.save(tmp_path / "clip_references_features_jpeg.npy", np.zeros((3, 4, 6), np.float32))
    with pytest.raises(ConfigurationError, match="jpeg"):
        publication.read(tmp_path)
    np.save(tmp_path / "clip_references_features_jpeg.npy", np.zeros((3, 4, 5), np.float32))
    with pytest.raises(ConfigurationError, match="3 sources, but 2 names"):
        publication.read(tmp_path, ["a", "b"])
