"""The verdict: a source is named only above a threshold measured for exactly this setting."""

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from attribution.errors import ConfigurationError
from attribution.ports import Aggregate, Fusion, ModelRef, Ranked, Ranking, Reason, Threshold, VerdictKind
from attribution.verdict import Calibration, judge

THRESHOLD = Threshold(max_distance=0.3, min_margin=0.05)
EMBEDDER = ModelRef("clip", "sha256:1")
ENTRY: dict[str, Any] = {
    "embedder": "clip@sha256:1",
    "distance": "cosine",
    "images_per_source": 4,
    "sources": {"a": "r1", "b": "r2"},
    "max_distance": 0.3,
    "min_margin": 0.05,
    "measured": {"precision": 0.97},
}


def _ranking(*distances: float) -> Ranking:
    entries = tuple(Ranked(f"s{i}", d, 0.5, (d,)) for i, d in enumerate(distances))
    margin = distances[1] - distances[0] if len(distances) > 1 else None
    return Ranking("cosine", entries, margin)


def test_a_fused_ranking_has_no_threshold() -> None:
    """A fused ranking is uncalibrated, and its own margin decides ties."""
    ranking = replace(_ranking(0.1, 0.2), fusion=Fusion(0.5, 0.7))
    assert judge(ranking, quorum=2, threshold=THRESHOLD).reason is Reason.UNCALIBRATED
    tie = replace(ranking, fusion=Fusion(0.5, 0.0))
    assert judge(tie, quorum=2, threshold=THRESHOLD).reason is Reason.TIE


@pytest.mark.parametrize(
    ("images_per_source", "entry", "asked", "found"),
    [
        (4, {}, Aggregate.MEAN, True),
        (4, {}, Aggregate.MAX, False),
        (4, {"aggregate": "max"}, Aggregate.MAX, True),
        (4, {"aggregate": "max"}, Aggregate.MEAN, False),
        (1, {"images_per_source": 1}, Aggregate.MEDIAN, True),
    ],
)
def test_an_aggregate_is_part_of_the_setting(
    tmp_path: Path, images_per_source: int, entry: dict[str, Any], asked: Aggregate, found: bool
) -> None:
    """Without an aggregate a calibration is for the mean; for γ = 1 the aggregate does not matter."""
    calibration = Calibration.load([_write(tmp_path, ENTRY | entry)])
    assert (calibration.find(EMBEDDER, "cosine", images_per_source, ENTRY["sources"], asked) is not None) is found


def _write(path: Path, *entries: object, schema: int = 1) -> Path:
    file = path / "calibration.json"
    file.write_text(json.dumps({"schema": schema, "entries": list(entries)}))
    return file


@pytest.mark.parametrize(
    ("distances", "quorum", "threshold", "reason"),
    [
        ((), 1, THRESHOLD, Reason.NO_QUORUM),
        ((), 0, THRESHOLD, Reason.NO_QUORUM),
        ((0.1,), 2, THRESHOLD, Reason.NO_QUORUM),
        ((0.1, 0.1, 0.5), 2, THRESHOLD, Reason.TIE),
        ((0.1, 0.1), 2, None, Reason.TIE),
        ((0.1, 0.5), 2, None, Reason.UNCALIBRATED),
        ((0.31, 0.5), 2, THRESHOLD, Reason.BELOW_THRESHOLD),
        ((0.1, 0.14), 2, THRESHOLD, Reason.BELOW_THRESHOLD),
        ((0.1,), 1, THRESHOLD, Reason.BELOW_THRESHOLD),
        ((0.1, 0.2), 2, THRESHOLD, None),
        ((0.3, 0.9), 2, THRESHOLD, None),
    ],
)
def test_judging(distances: tuple[float, ...], quorum: int, threshold: Threshold | None, reason: Reason | None) -> None:
    """Quorum, tie, calibration, threshold: the first that fails is the reason; without one the nearest is named."""
    verdict = judge(_ranking(*distances), quorum=quorum, threshold=threshold)
    assert verdict.reason is reason
    assert verdict.kind is (VerdictKind.INCONCLUSIVE if reason else VerdictKind.ATTRIBUTED)
    assert verdict.source == (None if reason else "s0")
    assert reason is Reason.UNCALIBRATED or verdict.threshold == threshold


def test_a_calibration_is_found_for_its_own_setting(tmp_path: Path) -> None:
    """Embedder, distance, γ and sources with revisions, in any order, give the threshold and its measurements."""
    file = _write(tmp_path, ENTRY)
    found = Calibration.load([file]).find(EMBEDDER, "cosine", 4, {"b": "r2", "a": "r1"})
    name = f"calibration.json@sha256:{sha256(file.read_bytes()).hexdigest()[:16]}"
    assert found == Threshold(0.3, 0.05, {"precision": 0.97}, name)


@pytest.mark.parametrize(
    ("embedder", "distance", "images_per_source", "sources"),
    [
        (ModelRef("clip", "sha256:2"), "cosine", 4, {"a": "r1", "b": "r2"}),
        (EMBEDDER, "euclidean", 4, {"a": "r1", "b": "r2"}),
        (EMBEDDER, "cosine", 3, {"a": "r1", "b": "r2"}),
        (EMBEDDER, "cosine", 4, {"a": "r1"}),
        (EMBEDDER, "cosine", 4, {"a": "r1", "b": "other"}),
        (EMBEDDER, "cosine", 4, {"a": "r1", "b": "r2", "c": "r3"}),
    ],
)
def test_any_other_setting_is_uncalibrated(
    tmp_path: Path, embedder: ModelRef, distance: str, images_per_source: int, sources: dict[str, str]
) -> None:
    """A threshold never serves a setting it was not measured on."""
    assert Calibration.load([_write(tmp_path, ENTRY)]).find(embedder, distance, images_per_source, sources) is None


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"max_distance": "near"},
        {"images_per_source": None},
        {"sources": ["a"]},
        {"measured": {"precision": "good"}},
        {"max_distanze": 0.3},
    ],
)
def test_mistakes_in_a_calibration_name_the_file(tmp_path: Path, change: dict[str, Any]) -> None:
    """A calibration that cannot be read stops the start, it does not become `uncalibrated`."""
    schema = change.pop("schema", 1)
    with pytest.raises(ConfigurationError, match=r"calibration\.json"):
        Calibration.load([_write(tmp_path, ENTRY | change, schema=schema)])


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 1}', '{"schema": 1, "entries": [3]}'])
def test_other_documents_are_refused(tmp_path: Path, text: str) -> None:
    """A file of another format is an error that names it."""
    (tmp_path / "calibration.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"calibration\.json"):
        Calibration.load([tmp_path / "calibration.json"])
