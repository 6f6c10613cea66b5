"""From a ranking to a verdict: a source is named only above a threshold that was measured for exactly this setting.

Thresholds come from calibration files, which the evaluation and the zoo write. Embedder, distance, γ, aggregate and the
set of tested sources with their revisions must all agree; otherwise the verdict is `uncalibrated`, and the ranking has
no threshold. A ranking that is fused with external scores is always `uncalibrated`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from attribution.errors import ConfigurationError
from attribution.ports import Aggregate, ModelRef, Ranking, Reason, Threshold, Verdict, VerdictKind
from attribution.validation import FileTable, read_table


class _EntryTable(FileTable):
    embedder: str
    distance: str
    images_per_source: int
    sources: dict[str, str]
    max_distance: float
    min_margin: float
    measured: dict[str, float] = Field({})
    aggregate: Annotated[Aggregate, Field(strict=False)] = Aggregate.MEAN


class _CalibrationTable(FileTable):
    schema_: Annotated[Literal[1], Field(alias="schema")]
    entries: list[_EntryTable]
    dataset: dict[str, object] = Field({})  # what the thresholds were measured on, for readers of the file


@dataclass(frozen=True, slots=True)
class _Entry:
    embedder: str
    distance: str
    images_per_source: int
    aggregate: Aggregate
    sources: Mapping[str, str]
    threshold: Threshold


class Calibration:
    """The thresholds of an installation, and the settings they were measured for."""

    def __init__(self, entries: Sequence[_Entry] = ()) -> None:
        self._entries = tuple(entries)

    @classmethod
    def load(cls, paths: Sequence[Path]) -> "Calibration":
        """Read calibration files. Raises ConfigurationError naming the file and what is wrong in it."""
        return cls([entry for path in paths for entry in _read(path)])

    @property
    def digest(self) -> str:
        """A hash of all of them."""
        known = [
            [
                *(each.embedder, each.distance, each.images_per_source, each.aggregate),
                *(sorted(each.sources.items()), repr(each.threshold)),
            ]
            for each in self._entries
        ]
        return sha256(json.dumps(known).encode("ascii")).hexdigest()

    def find(
        self,
        embedder: ModelRef,
        distance: str,
        images_per_source: int,
        sources: Mapping[str, str],
        aggregate: Aggregate = Aggregate.MEAN,
    ) -> Threshold | None:
        """The threshold for exactly this setting, None if there is none.

        Args:
            embedder: The embedder and its weights.
            distance: The name of the distance.
            images_per_source: γ.
            sources: The tested sources, id → revision.
            aggregate: How γ distances become one; irrelevant if γ is 1.
        """
        wanted = (str(embedder), distance, images_per_source, dict(sources))
        for entry in self._entries:
            same = (entry.embedder, entry.distance, entry.images_per_source, dict(entry.sources)) == wanted
            if same and (images_per_source == 1 or entry.aggregate is aggregate):
                return entry.threshold
        return None


def judge(ranking: Ranking, *, quorum: int, threshold: Threshold | None) -> Verdict:
    """`attributed` if the nearest source passes both thresholds, otherwise `inconclusive` with the reason."""
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
    calibration = str(ModelRef(path.name, f"sha256:{sha256(content).hexdigest()[:16]}"))
    return [
        _Entry(
            each.embedder,
            each.distance,
            each.images_per_source,
            each.aggregate,
            each.sources,
            Threshold(each.max_distance, each.min_margin, each.measured, calibration),
        )
        for each in read_table(_CalibrationTable, document, str(path)).entries
    ]
