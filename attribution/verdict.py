"""From a ranking to a verdict: a source is named only above a threshold measured for exactly this setting.

Thresholds come from calibration files, which the benchmark and the zoo write. Embedder, distance, γ, aggregate and
the set of tested sources with their revisions must all agree; anything else is `uncalibrated`, and the ranking
stands by itself. So does a ranking that was fused with another method's scores: no threshold was measured on those.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from attribution.errors import ConfigurationError
from attribution.ports import Aggregate, ModelRef, Ranking, Reason, Threshold, Verdict, VerdictKind

_KEYS = {"embedder", "distance", "images_per_source", "sources", "max_distance", "min_margin", "measured", "aggregate"}
_OPTIONAL = {"measured", "aggregate"}


@dataclass(frozen=True, slots=True)
class _Entry:
    embedder: str
    distance: str
    images_per_source: int
    aggregate: Aggregate
    sources: Mapping[str, str]
    threshold: Threshold


class Calibration:
    """The thresholds this installation knows, and what each was measured on."""

    def __init__(self, entries: Sequence[_Entry] = ()) -> None:
        self._entries = tuple(entries)

    @classmethod
    def load(cls, paths: Sequence[Path]) -> "Calibration":
        """Read calibration files. Raises ConfigurationError naming the file and what is wrong in it."""
        return cls([entry for path in paths for entry in _read(path)])

    @property
    def digest(self) -> str:
        """Changes with any of them."""
        known = [
            [
                *(each.embedder, each.distance, each.images_per_source, each.aggregate),
                *(sorted(each.sources.items()), repr(each.threshold)),
            ]
            for each in self._entries
        ]
        return hashlib.sha256(json.dumps(known).encode("ascii")).hexdigest()

    def find(
        self,
        embedder: ModelRef,
        distance: str,
        images_per_source: int,
        sources: Mapping[str, str],
        aggregate: Aggregate = Aggregate.MEAN,
    ) -> Threshold | None:
        """The threshold for exactly this embedder, distance, γ, aggregate and tested sources (id → revision), if any.

        Of one generated image all aggregates are the same.
        """
        wanted = (str(embedder), distance, images_per_source, dict(sources))
        for entry in self._entries:
            same = (entry.embedder, entry.distance, entry.images_per_source, dict(entry.sources)) == wanted
            if same and (images_per_source == 1 or entry.aggregate is aggregate):
                return entry.threshold
        return None


def judge(ranking: Ranking, *, quorum: int, threshold: Threshold | None) -> Verdict:
    """`attributed` if the nearest is near enough and ahead by enough; else `inconclusive` and why."""
    tested = len(ranking.entries)
    if tested == 0 or tested < quorum:
        return _inconclusive(Reason.NO_QUORUM, threshold)
    if (ranking.margin if ranking.fusion is None else ranking.fusion.margin) == 0:
        return _inconclusive(Reason.TIE, threshold)
    if threshold is None or ranking.fusion is not None:
        return _inconclusive(Reason.UNCALIBRATED, None)
    best = ranking.entries[0]
    near = best.distance <= threshold.max_distance
    ahead = ranking.margin is not None and ranking.margin >= threshold.min_margin
    if not (near and ahead):
        return _inconclusive(Reason.BELOW_THRESHOLD, threshold)
    return Verdict(VerdictKind.ATTRIBUTED, best.source, None, threshold)


def _inconclusive(reason: Reason, threshold: Threshold | None) -> Verdict:
    return Verdict(VerdictKind.INCONCLUSIVE, None, reason, threshold)


def _read(path: Path) -> list[_Entry]:
    try:
        content = path.read_bytes()
        document = json.loads(content)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: not readable as JSON: {error}") from error
    if not isinstance(document, dict) or document.get("schema") != 1:
        raise ConfigurationError(f"{path}: schema must be 1, the only one this version reads")
    entries = document.get("entries")
    if not isinstance(entries, list):
        raise ConfigurationError(f"{path}: entries must be a list")
    name = str(ModelRef(path.name, f"sha256:{sha256(content).hexdigest()[:16]}"))
    return [_entry(f"{path}: entries[{i}]", entry, name) for i, entry in enumerate(entries)]


def _entry(where: str, raw: Any, calibration: str) -> _Entry:
    if not isinstance(raw, dict) or not _KEYS - _OPTIONAL <= raw.keys() <= _KEYS:
        raise ConfigurationError(f"{where} must have the keys {', '.join(sorted(_KEYS))}")
    try:
        return _Entry(
            embedder=str(raw["embedder"]),
            distance=str(raw["distance"]),
            images_per_source=int(raw["images_per_source"]),
            aggregate=Aggregate(raw.get("aggregate", Aggregate.MEAN)),
            sources={str(source): str(revision) for source, revision in raw["sources"].items()},
            threshold=Threshold(
                max_distance=float(raw["max_distance"]),
                min_margin=float(raw["min_margin"]),
                measured={str(name): float(value) for name, value in raw.get("measured", {}).items()},
                calibration=calibration,
            ),
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"{where} has a value of the wrong kind: {error}") from error
