"""The method's ports (Protocols) and the frozen values that pass between them.

Imports neither torch nor anything of ours, so that the API, which carries no ML wheels, can speak the same words.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

if TYPE_CHECKING:  # for annotations alone, numpy and Pillow would cost the API process 14 MB
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

Vectors: TypeAlias = "NDArray[np.float32]"
Distances: TypeAlias = "NDArray[np.float64]"

# The revision of what nobody but the caller can vouch for.
BY_CALLER: Final = "by-caller"
# Of another method's scores beside ours, where nobody says otherwise; docs/method.md says what it was measured on.
FUSION_WEIGHT: Final = 0.1
# Generated images of one source that a caller may bring along.
MOST_REFERENCES: Final = 16


class SourceState(StrEnum):
    """What became of one source in one job. Only `DONE` has a distance."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    REFUSED_PROMPT = "refused_prompt"
    REFUSED_OUTPUT = "refused_output"
    RATE_LIMITED = "rate_limited"
    QUOTA = "quota"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    RETIRED = "retired"
    NO_API = "no_api"
    AWAITING_REFERENCE = "awaiting_reference"
    SKIPPED = "skipped"
    ERROR = "error"


class Origin(StrEnum):
    """Who had a source generate: we did, or the caller brought the generated images along."""

    GENERATOR = "generator"
    REFERENCE = "reference"


class VerdictKind(StrEnum):
    """The two answers an attribution can end with."""

    ATTRIBUTED = "attributed"
    INCONCLUSIVE = "inconclusive"


class DistanceName(StrEnum):
    """The distances there are, by the name that jobs, results and calibrations carry."""

    COSINE = "cosine"
    EUCLIDEAN = "euclidean"
    MANHATTAN = "manhattan"
    CORRELATION = "correlation"
    SSIM = "ssim"
    HYBRID = "hybrid"


class Aggregate(StrEnum):
    """What of a source's γ distances stands for the source; named after similarity, of which distance is the reverse.

    `MEAN` is arXiv 2403.01489's. `MAX`, the greatest similarity, is the smallest distance: the best generated image decides.
    `MEDIAN` of an even number of generated images is the mean of the two in the middle. Of one generated image they are all the same.
    """

    MEAN = "mean"
    MAX = "max"
    MEDIAN = "median"


class Reason(StrEnum):
    """Why a verdict is inconclusive."""

    BELOW_THRESHOLD = "below_threshold"
    NO_QUORUM = "no_quorum"
    TIE = "tie"
    UNCALIBRATED = "uncalibrated"


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model and the exact weights of it: what reproducing a result needs."""

    name: str
    revision: str

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}"

    @classmethod
    def parse(cls, text: str) -> ModelRef:
        """The inverse of str()."""
        name, _, revision = text.rpartition("@")
        return cls(name, revision)


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock; generating checks it between denoising steps."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """A deadline `seconds` from now."""
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """Seconds left, negative once passed."""
        return self.at - time.monotonic()

    def passed(self) -> bool:
        """Whether the moment is over."""
        return self.remaining() <= 0


@dataclass(frozen=True, slots=True)
class Caption:
    """p(I): the text every source is given, and who wrote it."""

    text: str
    captioner: ModelRef


@dataclass(frozen=True, slots=True)
class GeneratedImage:
    """r_jk: one resynthesis and the seed it was generated with (None where a vendor takes no seed, or nobody knows it).

    `prompt` is what was generated, where that is not the caption itself: cut to what the source takes, or rewritten by a
    vendor that says so.
    """

    image: Image
    seed: int | None
    prompt: str | None = None


@dataclass(frozen=True, slots=True)
class Resynthesis:
    """What one source made of the caption: its generated images, or the state and the sentence that say why there are none."""

    source: str
    revision: str
    state: SourceState
    generated_images: tuple[GeneratedImage, ...] = ()
    reason: str | None = None
    seconds: float = 0.0
    origin: Origin = Origin.GENERATOR


@dataclass(frozen=True, slots=True)
class Embedded:
    """What one job's images are compared by.

    Features: the query's (d,) and, per tested source, its generated images' (γ, d), rows of unit norm. Of distances between
    pixels, which are taken while those are at hand: the (γ,) distances themselves, by distance and source.
    """

    embedder: ModelRef
    query: Vectors
    generated_images: Mapping[str, Vectors]
    pixels: Mapping[str, Mapping[str, Distances]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ranked:
    """One tested source in the ranking. `score` is softmax(−distance/τ): a score, not a probability.

    In a ranking that was fused, `external_scores` is the other method's score, None where it gave none, and `fused` the score
    that decides, greater is likelier.
    """

    source: str
    distance: float
    score: float
    distances: tuple[float, ...]
    external_scores: float | None = None
    fused: float | None = None


@dataclass(frozen=True, slots=True)
class Fusion:
    """How a ranking was fused with another method's scores.

    `margin` is the lead in `fused` of the first over the second; `unused` are sources with a score but no distance.
    """

    weight: float
    margin: float | None
    unused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ranking:
    """Tested sources, nearest first; ties stand in catalog order. `margin` needs two sources.

    With a `fusion`, the greatest fused score comes first. `margin` still is that of the distances.
    """

    distance: str
    entries: tuple[Ranked, ...]
    margin: float | None
    temperature: float = 1.0
    calibrated: bool = False
    aggregate: Aggregate = Aggregate.MEAN
    fusion: Fusion | None = None


@dataclass(frozen=True, slots=True)
class Threshold:
    """What a best distance and a margin must pass before a source is named, and on what that was measured.

    `calibration` is the file it came from, with a hash of its content.
    """

    max_distance: float
    min_margin: float
    measured: Mapping[str, float] = field(default_factory=dict)
    calibration: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`attributed` to a source above a calibrated threshold, or `inconclusive` with the reason."""

    kind: VerdictKind
    source: str | None = None
    reason: Reason | None = None
    threshold: Threshold | None = None


@dataclass(frozen=True, slots=True)
class Attribution:
    """The whole answer to one query image."""

    caption: Caption
    resyntheses: tuple[Resynthesis, ...]
    embedder: ModelRef
    ranking: Ranking
    verdict: Verdict
    seconds: Mapping[str, float]


class Captioner(Protocol):
    """Describes an image in one sentence."""

    @property
    def ref(self) -> ModelRef:
        """Which model, which weights."""
        ...

    def describe(self, image: Image) -> str:
        """The caption of one RGB image. The same image gets the same caption."""
        ...


class Generator(Protocol):
    """Generates images from a caption; one per source."""

    @property
    def source(self) -> str:
        """The source's id in the catalog."""
        ...

    @property
    def ref(self) -> ModelRef:
        """Which model, which weights."""
        ...

    def generate(self, prompt: str, seeds: Sequence[int], deadline: Deadline) -> Sequence[GeneratedImage]:
        """One generated image per seed, in order, fewer where a filter blanked some.

        Raises SourceError (of which SourceTimeout, OutputRefused, …) when nothing usable was generated.
        """
        ...


class Embedder(Protocol):
    """E: maps images to features."""

    @property
    def ref(self) -> ModelRef:
        """Which model, which weights."""
        ...

    @property
    def dimension(self) -> int:
        """d, the length of a feature vector."""
        ...

    def embed(self, images: Sequence[Image]) -> Vectors:
        """(n, d) float32, rows of unit L2 norm, in the order given."""
        ...


class PixelDistance(Protocol):
    """A distance that looks at pixels; taken where both images are at hand, see `Embedded.pixels`."""

    @property
    def name(self) -> str:
        """The name it is kept by."""
        ...

    def __call__(self, query: Image, generated_images: Sequence[Image]) -> Distances:
        """Distances of γ generated images to the query: (γ,). Images may have different sizes."""
        ...


class Distance(Protocol):
    """How far the generated images of a job are from its query; smaller is nearer."""

    @property
    def name(self) -> DistanceName:
        """The name results and calibrations carry."""
        ...

    @property
    def on_pixels(self) -> Sequence[PixelDistance]:
        """The distances between pixels that it is made of; none where features are all it needs."""
        ...

    def among(self, embedded: Embedded) -> Mapping[str, Distances]:
        """Per source, the (γ,) distances of its generated images. Raises AttributionError where one of `on_pixels` lacks."""
        ...
