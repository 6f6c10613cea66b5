"""The interface of a trained baseline: it learns from the shots of every source, and scores queries.

It returns scores, not names, because resynthesis is fused with scores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from evaluation.dataset import Dataset
from evaluation.features import Features

Floats: TypeAlias = NDArray[np.float64]
_T = TypeVar("_T")
Grid: TypeAlias = tuple[tuple[_T, ...], ...]  # (S, P)


class Sight(StrEnum):
    """The input of a baseline."""

    FEATURES = "features"
    PIXELS = "pictures"
    CAPTIONS = "captions"


@dataclass(frozen=True)
class Images:
    """Originals as a grid: row s is the source, column p the character; files and captions may be missing.

    `content` is a hash of each: of the image, or of its features where there are only those.
    """

    sources: tuple[str, ...]
    embedder: str
    features: Floats  # (S, P, d), rows of unit length
    content: Grid[str]
    files: Grid[Path] = ()
    captions: Grid[str] = ()

    @classmethod
    def of(cls, features: Features, dataset: Dataset | None = None) -> "Images":
        """The originals that have these features."""
        rows = features.originals.astype(np.float64)
        rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
        names, numbers = features.sources, features.characters
        if dataset is None:
            content = tuple(tuple(sha256(row.tobytes()).hexdigest() for row in of) for of in features.originals)
            return cls(names, features.embedder, rows, content)
        found = {(item.of, item.character): item for item in dataset.items if item.source is None}
        items = [[found[of, number] for number in numbers] for of in names]
        captions = tuple(tuple(item.caption or "" for item in row) for row in items)
        return cls(
            names,
            features.embedder,
            rows,
            tuple(tuple(item.sha256 for item in row) for row in items),
            tuple(tuple(dataset.directory / item.file for item in row) for row in items),
            captions if all(map(all, captions)) else (),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(S, P)."""
        return len(self.sources), len(self.content[0])

    @property
    def flat(self) -> Floats:
        """(S · P, d) features, source by source."""
        return self.features.reshape(-1, self.features.shape[-1])

    @property
    def paths(self) -> list[Path]:
        """(S · P) files, likewise."""
        return [file for row in self.files for file in row]

    @property
    def truth(self) -> NDArray[np.intp]:
        """(S · P,) the source of each."""
        s, p = self.shape
        return np.repeat(np.arange(s), p)

    @property
    def sights(self) -> frozenset[Sight]:
        """The inputs that exist."""
        there = {Sight.FEATURES: True, Sight.PIXELS: bool(self.files), Sight.CAPTIONS: bool(self.captions)}
        return frozenset(sight for sight, is_there in there.items() if is_there)

    def columns(self, places: Sequence[int]) -> "Images":
        """The part that shows these characters."""
        return replace(
            self,
            features=self.features[:, list(places)],
            content=_columns(self.content, places),
            files=_columns(self.files, places),
            captions=_columns(self.captions, places),
        )

    def rows(self, sources: slice) -> "Images":
        """The part by these sources."""
        return replace(
            self,
            sources=self.sources[sources],
            features=self.features[sources],
            content=self.content[sources],
            files=self.files[sources],
            captions=self.captions[sources],
        )

    def fingerprint(self, sights: frozenset[Sight]) -> list[Any]:
        """Everything that scores may depend on, as JSON values."""
        inputs: list[Any] = [list(self.sources), [list(row) for row in self.content]]
        if Sight.FEATURES in sights:
            inputs.append(self.embedder)
        if Sight.CAPTIONS in sights:
            inputs.append([list(row) for row in self.captions])
        return inputs


def _columns(grid: Grid[_T], places: Sequence[int]) -> Grid[_T]:
    return tuple(tuple(row[at] for at in places) for row in grid)


class Baseline(Protocol):
    """A trained method. It can be pickled; models are loaded at first use."""

    @property
    def name(self) -> str:
        """Its name in tables."""
        ...

    @property
    def sees(self) -> frozenset[Sight]:
        """Its inputs."""
        ...

    @property
    def grid(self) -> Sequence[int] | None:
        """The shots to measure before the search for the crossing; None: all requested ones."""
        ...

    @property
    def comparable(self) -> bool:
        """Whether its curve may be compared with others: not without the method's pretrained weights."""
        ...

    @property
    def setting(self) -> Mapping[str, Any]:
        """Hyper-parameters, hashes of weights, versions of libraries: all besides images and seed, as JSON values."""
        ...

    def steps(self, shots: int, sources: int) -> int | None:
        """Gradient steps that it takes at most; None where a solver runs until it is done."""
        ...

    def scores(self, shots: Images, queries: Images, seed: int) -> Floats:
        """(S · P, S) for queries, greater for what is likelier. The same seed gives the same scores."""
        ...


def versions(*names: str) -> dict[str, str]:
    """Of libraries whose next version may learn differently."""
    return {name: version(name) for name in names}
