"""The method's ports (Protocols) and the frozen values that pass between them.

It imports neither torch nor other modules of the project, but for the equally light `estimate.py` and `race.py`: the
API, which has no ML wheels, uses it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, runtime_checkable

from attribution.estimate import Estimate, Measured
from attribution.race import Race

if TYPE_CHECKING:  # only for annotations: numpy and Pillow would cost the API process 14 MB
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

Vectors: TypeAlias = "NDArray[np.float32]"
Distances: TypeAlias = "NDArray[np.float64]"

# The revision of captions and images that the caller supplies.
BY_CALLER: Final = "by-caller"
# The default weight of external scores; docs/method.md says on which data it was measured.
FUSION_WEIGHT: Final = 0.1
# Reference images of one source that a caller may upload.
MOST_REFERENCES: Final = 16


class SourceState(StrEnum):
    """The state of one source in one job. Only `DONE` has a distance."""

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
    """Where a source's images come from: a generator, or reference images of the caller."""

    GENERATOR = "generator"
    REFERENCE = "reference"


class VerdictKind(StrEnum):
    """The kinds of verdict: one source, several that are relatives, several of those that were tested, or none."""

    ATTRIBUTED = "attributed"
    ATTRIBUTED_FAMILY = "attributed_family"
    NARROWED = "narrowed"
    INCONCLUSIVE = "inconclusive"


class Method(StrEnum):
    """How sources are ranked: by residuals (docs/method.md), or by a distance between features as the papers do."""

    RESIDUAL = "residual"
    COSINE = "cosine"


class Policy(StrEnum):
    """What the caller knows: `OPEN`, the image may be by another source; `CLOSED`, one of those asked made it."""

    OPEN = "open"
    CLOSED = "closed"


class DistanceName(StrEnum):
    """All distances, by the name that jobs, results and calibrations contain."""

    COSINE = "cosine"
    EUCLIDEAN = "euclidean"
    MANHATTAN = "manhattan"
    CORRELATION = "correlation"
    SSIM = "ssim"
    HYBRID = "hybrid"


class Aggregate(StrEnum):
    """How a source's γ distances become one; the names refer to similarity, the reverse of distance.

    `MEAN` is arXiv 2403.01489's. `MAX`, the greatest similarity, is the smallest distance.
    `MEDIAN` of an even number is the mean of the middle two. For γ = 1 all are the same.
    """

    MEAN = "mean"
    MAX = "max"
    MEDIAN = "median"


class Reason(StrEnum):
    """Why a verdict is inconclusive."""

    BELOW_THRESHOLD = "below_threshold"
    BLANK_QUERY = "blank_query"
    NO_QUORUM = "no_quorum"
    NONE_OF_THESE_LIKELY = "none_of_these_likely"
    TIE = "tie"
    UNCALIBRATED = "uncalibrated"


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model and its exact weights, as needed to reproduce a result."""

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
    """A moment on the monotonic clock; generators check it between denoising steps."""

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
    """p(I): the text that is sent to every source, and the captioner that wrote it."""

    text: str
    captioner: ModelRef


@dataclass(frozen=True, slots=True)
class GeneratedImage:
    """r_jk: one generated image and its seed (None if the vendor takes none, or it is unknown).

    `prompt` is the text it was generated from, if that is not the caption: shortened to the limit of the source, or
    rewritten by a vendor that reports it.
    """

    image: Image
    seed: int | None
    prompt: str | None = None


@dataclass(frozen=True, slots=True)
class Resynthesis:
    """One source's result: its generated images, or the state and the sentence why there are none."""

    source: str
    revision: str
    state: SourceState
    generated_images: tuple[GeneratedImage, ...] = ()
    reason: str | None = None
    seconds: float = 0.0
    origin: Origin = Origin.GENERATOR


@dataclass(frozen=True, slots=True)
class Taps:
    """Features of one job's images in canonical form, from which residuals are computed.

    `layout` is the length of each tap in order; `query` is (D,), their sum, and `generated_images` is (γ, D) per tested
    source. `side` is what all images were reduced to first, in pixels, because the query has no more detail; else None.
    """

    layout: Mapping[str, int]
    query: Vectors
    generated_images: Mapping[str, Vectors]
    side: int | None = None


@dataclass(frozen=True, slots=True)
class Embedded:
    """The features of one job's images, and the distances between pixels, which are computed at the same time.

    `query` is (d,), `generated_images` is (γ, d) per tested source, rows of unit norm; `pixels` is (γ,) by distance and
    source.
    """

    embedder: ModelRef
    query: Vectors
    generated_images: Mapping[str, Vectors]
    pixels: Mapping[str, Mapping[str, Distances]] = field(default_factory=dict)
    taps: Taps | None = None


@dataclass(frozen=True, slots=True)
class Ranked:
    """One tested source in the ranking. `score` is softmax(−distance/τ): a score, not a probability.

    `match`, None in a ranking by distance, is the score by residuals that decides the order, the greatest first; it
    compares the sources of one job. `probability` is calibrated, given that one of the tested sources made the image;
    None without a bank. In a fused ranking, `external_score` is the other method's score, None if there is none, and
    `fused` is the score that decides the order, the greatest first.
    """

    source: str
    distance: float
    score: float
    distances: tuple[float, ...]
    external_score: float | None = None
    fused: float | None = None
    match: float | None = None
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class Fusion:
    """How a ranking was fused with external scores.

    `margin` is the difference in `fused` of the first two; `unused` are sources with a score but no distance.
    """

    weight: float
    margin: float | None
    unused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ranking:
    """Tested sources, nearest first, ties in catalog order. `margin` is None for fewer than two sources.

    With the method `RESIDUAL`, the greatest match is first, and with a `fusion`, the greatest fused score; `margin` is
    still that of the distances. `estimate` is None without a bank that knows the sources.
    """

    distance: str
    entries: tuple[Ranked, ...]
    margin: float | None
    temperature: float = 1.0
    calibrated: bool = False
    aggregate: Aggregate = Aggregate.MEAN
    fusion: Fusion | None = None
    method: Method = Method.COSINE
    estimate: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Threshold:
    """The limits for the smallest distance and the margin of a named source, and what was `measured` with them.

    `calibration` is the file of the threshold, with a hash of its content.
    """

    max_distance: float
    min_margin: float
    measured: Mapping[str, float] = field(default_factory=dict)
    calibration: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which source made the image, or which of several, or why that cannot be said.

    Attributes:
        kind: What is said.
        source: The named source, if one is named.
        sources: The relatives of `attributed_family`, or the prediction set of `narrowed`; likeliest first.
        reason: Why it is inconclusive.
        threshold: The limits of a ranking by distance.
        measured: What such verdicts were worth, in a ranking by residuals.
        policy: What was assumed about other sources.
    """

    kind: VerdictKind
    source: str | None = None
    reason: Reason | None = None
    threshold: Threshold | None = None
    sources: tuple[str, ...] = ()
    measured: Measured | None = None
    policy: Policy = Policy.OPEN


@dataclass(frozen=True, slots=True)
class Attribution:
    """The whole result for one query image; `race` is None where all sources were to generate γ images."""

    caption: Caption
    resyntheses: tuple[Resynthesis, ...]
    embedder: ModelRef
    ranking: Ranking
    verdict: Verdict
    seconds: Mapping[str, float]
    race: Race | None = None


class Captioner(Protocol):
    """Describes an image in one sentence."""

    @property
    def ref(self) -> ModelRef:
        """Which model, which weights."""
        ...

    def describe(self, image: Image) -> str:
        """The caption of one RGB image; the same image has the same caption."""
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
        """One generated image per seed, in order, fewer if a safety filter withheld some.

        Raises SourceError (SourceTimeout, OutputRefused, …) if there is no usable image.
        """
        ...


@runtime_checkable
class BatchGenerator(Generator, Protocol):
    """A generator that can generate several prompts in one batch, each image as if it were alone but for rounding."""

    @property
    def batch_size(self) -> int:
        """How many images it generates best at once."""
        ...

    def generate_each(
        self, prompts: Sequence[str], seeds: Sequence[int], deadline: Deadline
    ) -> Sequence[GeneratedImage | None]:
        """One image per prompt and its seed, None for one that was withheld. Raises as `generate` does."""
        ...


class Embedder(Protocol):
    """E: maps images to features: the final embedding, and taps, which are statistics of blocks before the end."""

    @property
    def ref(self) -> ModelRef:
        """Which model, which weights."""
        ...

    @property
    def dimension(self) -> int:
        """d, the length of a feature vector."""
        ...

    @property
    def taps(self) -> Mapping[str, int]:
        """Names and lengths of the tap features, in order; empty where the model has none."""
        ...

    def embed(self, images: Sequence[Image]) -> Vectors:
        """(n, d) float32, rows of unit L2 norm, in the order given."""
        ...

    def features(self, images: Sequence[Image]) -> tuple[Vectors, Vectors]:
        """(n, d), exactly what `embed` returns, and (n, D): the taps, from the same forward pass.

        Taps are concatenated in the order of `taps`, and raw (not normalized). Raises ConfigurationError if there are
        none.
        """
        ...

    def tap_features(self, images: Sequence[Image]) -> Vectors:
        """(n, D): only the taps; torch computes nothing behind them. Raises ConfigurationError if there are none."""
        ...


class PixelDistance(Protocol):
    """A distance between pixels, computed while the images are in memory; see `Embedded.pixels`."""

    @property
    def name(self) -> str:
        """Its key in `Embedded.pixels`."""
        ...

    def __call__(self, query: Image, generated_images: Sequence[Image]) -> Distances:
        """Distances of γ generated images to the query: (γ,). Images may have different sizes."""
        ...


class Distance(Protocol):
    """How far the generated images of a job are from its query; smaller is nearer."""

    @property
    def name(self) -> DistanceName:
        """The name in results and calibrations."""
        ...

    @property
    def on_pixels(self) -> Sequence[PixelDistance]:
        """The pixel distances that it needs; none if it needs only features."""
        ...

    def among(self, embedded: Embedded) -> Mapping[str, Distances]:
        """Per source, the (γ,) distances of its images. Raises AttributionError if one of `on_pixels` is missing."""
        ...
