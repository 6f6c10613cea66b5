"""The catalog and the models."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from app.settings.group import Group
from attribution.caption.spec import CaptionerSpec, offered
from attribution.embed.spec import EmbedderSpec
from attribution.embed.spec import offered as offered_embedders
from attribution.errors import ConfigurationError
from attribution.ports import FUSION_WEIGHT, Aggregate, DistanceName, Method, Policy
from attribution.race import Budget


class CatalogSettings(Group):
    """The sources this installation knows."""

    directories: tuple[Path, ...] = Field((Path("sources"),), description="folders of one TOML file per source")


def host_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class ModelSettings(Group):
    """Captioners, embedders, distances, and the devices they run on."""

    captioner: str = Field(
        "blip:zoo/models/captioner",
        description="the default, as kind:which, e.g. blip:Salesforce/blip-image-captioning-large@COMMIT",
    )
    captioners: dict[str, str] = Field(
        {},
        description="others that a job may name as `captioner`, as JSON, e.g. "
        '{"large": "blip:Salesforce/blip-image-captioning-large@COMMIT"}; docs/captions.md',
    )
    embedder: str = Field(
        "open_clip:local-dir:zoo/models/clip",
        description="the default, as kind:where, e.g. open_clip:ViT-L-14-336/openai or onnx:local-dir:DIRECTORY",
    )
    embedders: dict[str, str] = Field(
        {},
        description="others that a job may name as `embedder`, as JSON, e.g. "
        '{"layer-8": "open_clip:ViT-L-14-336/openai#layer=8"}; docs/embedders.md',
    )
    method: Method = Field(
        Method.RESIDUAL, description="how sources are ranked by default; `cosine` is the papers' method: docs/method.md"
    )
    policy: Policy = Field(
        Policy.OPEN, description="whether images may be by other sources than those asked; the default"
    )
    budget: Budget = Field(
        Budget.AUTO,
        description="`fixed`: every source generates γ images; `racing`: up to γ, and less of sources that are "
        "unlikely; `auto`: racing where the bank knows all sources; the default. docs/method.md",
    )
    distance: DistanceName = Field(DistanceName.COSINE, description="the default")
    aggregate: Aggregate = Field(
        Aggregate.MEAN, description="of the distances of a source's generated images; the default"
    )
    fusion_weight: float = Field(
        FUSION_WEIGHT, ge=0, le=1, description="of a job's `external_scores` against the distances; the default"
    )
    calibrations: tuple[Path, ...] = Field(
        (Path("zoo/models/calibration.json"),), description="files of measured thresholds"
    )
    known_answers: Path = Field(
        Path(".state/known-answers"),
        description="folder for the known answers of models that have none beside their weights; docs/embedders.md",
    )
    device: str = Field("cpu", description="cpu, cuda, cuda:1, mps")
    dtype: Literal["float32", "float16", "bfloat16"] | None = Field(
        None, description="overrides the sources' own dtype"
    )
    offload: Literal["none", "model", "sequential"] = Field("none", description="diffusers' offloading, for small GPUs")
    threads: PositiveInt | None = Field(
        None,
        description="threads that all processes with models on this host compute with, together; by default its cores",
    )
    processes: PositiveInt = Field(
        1, description="processes with models on this host, among which `MODELS__THREADS` are divided"
    )
    batch_size: PositiveInt = Field(
        32,
        description="most images generated or embedded at once; a local worker measures how many pay: docs/scaling.md",
    )
    sources: tuple[str, ...] = Field(
        (), description="the local sources that a worker of role `local` serves, as JSON; by default all of the catalog"
    )
    memory_mb: PositiveInt = Field(16_000, description="upper bound of the generators kept loaded in one process")

    @model_validator(mode="after")
    def _readable(self) -> Self:
        """Parses all specs, so that a misspelled one is an error at start."""
        try:
            self.offered, self.offered_embedders  # noqa: B018 - raise
        except ConfigurationError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def threads_per_process(self) -> int:
        """The share of one process: torch's threads, ONNX Runtime's, and those that prepare images."""
        return max(1, (self.threads or host_cores()) // self.processes)

    @property
    def offered(self) -> Mapping[str, CaptionerSpec]:
        """The captioners that a job may name; the first is the default."""
        return offered(self.captioner, self.captioners)

    @property
    def offered_embedders(self) -> Mapping[str, EmbedderSpec]:
        """The embedders that a job may name; the first is the default."""
        return offered_embedders(self.embedder, self.embedders)
