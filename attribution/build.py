"""Builds adapters: a generator from a catalog entry, a captioner or an embedder from a short specification.

Adapters are imported when they are built: importing this module needs no ML wheels.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attribution.caption.spec import CaptionerSpec, PezOptions, RefineOptions, VlmOptions, parse
from attribution.catalog import Source
from attribution.embed.spec import parse as parse_embedder
from attribution.errors import ConfigurationError, SourceUnavailable
from attribution.ports import Captioner, Embedder, Generator, ModelRef
from attribution.resynthesis.remote.http_client import default_connections
from attribution.resynthesis.remote.vendors import NAMES as VENDORS
from attribution.resynthesis.remote.web import Connections
from attribution.validation import read_options
from attribution.weights import digest_of_directory, matches

# The parameters of a catalog entry for loading a pipeline; all others are arguments of each call.
_LOADING = ("dtype", "variant", "without", "pipeline", "one_at_a_time", "allow_unpinned")


@dataclass(frozen=True, slots=True)
class Placement:
    """Where models run: set by the operator of this process, not by the catalog.

    `dtype` overrides a source's own and the captioner's float32; `batch_size` is the number of images generated at
    once, where the catalog names none; with `measure_batches` it is the most, and what pays is measured; `memory_mb`
    limits the pool of loaded generators; `threads` is the number of threads of torch and ONNX Runtime, None for one per
    core.
    """

    device: str = "cpu"
    dtype: str | None = None
    offload: str = "none"
    batch_size: int = 4
    memory_mb: int = 16_000
    threads: int | None = None
    measure_batches: bool = False


def build_generator(source: Source, placement: Placement, connections: Connections | None = None) -> Generator:
    """The loaded adapter of a catalog entry. Remote ones call vendors through `connections`, if given.

    Raises ConfigurationError if the entry is wrong, SourceUnavailable if its weights are missing.
    """
    builders: Mapping[str, Callable[[Source, Placement], Generator]] = {
        "diffusers": _diffusers,
        "fake": _fake,
    }
    if source.adapter in VENDORS:
        from attribution.resynthesis.remote.build import build_remote

        return build_remote(source, connections or default_connections())
    if source.adapter not in builders:
        known = ", ".join([*builders, *VENDORS])
        raise ConfigurationError(f"{source.id}: there is no adapter {source.adapter!r}; there are {known}.")
    return builders[source.adapter](source, placement)


def build_captioner(
    spec: str, placement: Placement, connections: Connections | None = None, loaded: Iterable[Captioner] = ()
) -> Captioner:
    """A captioner: "blip:DIRECTORY", "vlm:MODEL?base_url=…", "pez", "fake:" and others; see `caption/spec.py`.

    Remote ones are called through `connections`, if given; a BLIP in `loaded` is not loaded twice.
    Raises ConfigurationError.
    """
    found = parse(spec)
    if found.kind == "fake":
        from attribution.caption.fake import FakeCaptioner, FakeCaptionerBehavior

        return FakeCaptioner(read_options(FakeCaptionerBehavior, _pairs(found.which), repr(spec)))
    if isinstance(found.options, VlmOptions):
        from attribution.caption.vlm import VlmCaptioner

        return VlmCaptioner(found.which, found.options, connections or default_connections())
    _threads(placement)
    if isinstance(found.options, PezOptions):
        with _wheels("ml"):
            from attribution.caption.pez import PezCaptioner
        if isinstance(found.options, RefineOptions):
            start = _blip(found, placement, loaded)
            return PezCaptioner(found.options.clip, found.options, device=placement.device, start=start)
        return PezCaptioner(found.which, found.options, device=placement.device)
    return _blip(found, placement, loaded)


def _blip(found: CaptionerSpec, placement: Placement, loaded: Iterable[Captioner]) -> Captioner:
    with _wheels("ml"):
        from attribution.caption.blip import BlipCaptioner
    ref, directory = _locate(found.text, found.which)
    for other in loaded:
        if isinstance(other, BlipCaptioner) and other.ref == ref:
            return other
    return BlipCaptioner(ref, directory, device=placement.device, dtype=_torch_dtype(placement))


def build_embedder(spec: str, placement: Placement) -> Embedder:
    """An embedder: "open_clip:local-dir:DIRECTORY", "open_clip:ViT-L-14-336/openai", "onnx:local-dir:…" or "fake:".

    open_clip's also take "#layer=8", for the features of a layer; see `embed/tower.py`.
    """
    found = parse_embedder(spec)
    if found.kind == "fake":
        from attribution.embed.fake import FakeEmbedder, FakeEmbedderBehavior

        return FakeEmbedder(read_options(FakeEmbedderBehavior, _pairs(found.which), repr(spec)))
    if found.kind == "open_clip":
        with _wheels("ml"):
            from attribution.embed.open_clip import OpenClipEmbedder
        _threads(placement)
        # Always float32: thresholds are measured in it, and a narrower dtype changes distances by a thousandth.
        return OpenClipEmbedder(found.which, device=placement.device, batch_size=max(32, placement.batch_size))
    with _wheels("onnx"):
        from attribution.embed.onnx import OnnxEmbedder
    size = max(32, placement.batch_size)
    return OnnxEmbedder(found.which, device=placement.device, batch_size=size, threads=placement.threads)


def _fake(source: Source, placement: Placement) -> Generator:
    from attribution.resynthesis.fake import FakeBehavior, FakeGenerator

    behavior = read_options(FakeBehavior, source.parameters, f"{source.id}: parameters")
    ref = ModelRef(source.model, source.revision)
    return FakeGenerator(source.id, ref, behavior, source.limits.max_prompt_chars)


def _diffusers(source: Source, placement: Placement) -> Generator:
    directory = locate_weights(source)
    with _wheels("ml"):
        from attribution.resynthesis.diffusers import DiffusersGenerator, DiffusersSettings
    _threads(placement)
    given = source.parameters
    settings = DiffusersSettings(
        dtype=placement.dtype or _text(source, "dtype") or "float32",
        device=placement.device,
        offload=placement.offload,
        batch_size=_batch_size(source, placement),
        measure_batches=placement.measure_batches and source.batch is None,
        variant=_text(source, "variant"),
        pipeline=_text(source, "pipeline") or "DiffusionPipeline",
        without=tuple(name.strip() for name in (_text(source, "without") or "").split(",") if name.strip()),
        max_prompt_chars=source.limits.max_prompt_chars,
        call={name: value for name, value in given.items() if name not in _LOADING},
    )
    return DiffusersGenerator.load(source.id, ModelRef(source.model, source.revision), settings, directory)


def _batch_size(source: Source, placement: Placement) -> int:
    """How many images are generated at once, at most: as many as fit beside the model, where the catalog says so."""
    if source.parameters.get("one_at_a_time") is True:  # some pipelines of diffusers, such as PRX's, fail for several
        return 1
    wanted = source.batch or placement.batch_size
    if source.memory_mb_per_image is None:
        return wanted
    return max(1, min(wanted, (placement.memory_mb - source.memory_mb) // source.memory_mb_per_image))


def locate_weights(source: Source) -> Path | None:
    """The directory of a diffusers source's weights, None for the hub; loads nothing.

    Raises as `build_generator` does if the weights are missing, are others than the catalog names, or are not pinned.
    """
    directory = source.directory
    if directory is None:
        _check_pinned(source)
    elif not directory.is_dir():
        raise SourceUnavailable(f"The weights of {source.name} belong in {directory}, which does not exist.")
    elif not matches(source.revision, directory):
        raise ConfigurationError(
            f"{source.id}: {directory} holds {digest_of_directory(directory)}, the catalog names {source.revision}."
        )
    return directory


def _check_pinned(source: Source) -> None:
    """A branch moves: the same request would get another result later, without any notice."""
    commit = len(source.revision) == 40 and all(digit in "0123456789abcdef" for digit in source.revision)
    if not commit and source.parameters.get("allow_unpinned") is not True:
        raise ConfigurationError(
            f"{source.id}: revision {source.revision!r} is not a commit of {source.model}. "
            "Pin it, or set parameters.allow_unpinned = true."
        )


def _text(source: Source, name: str) -> str | None:
    value = source.parameters.get(name)
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"{source.id}: parameters.{name} must be a string, not {value!r}.")
    return value


def _locate(spec: str, which: str) -> tuple[ModelRef, Path | None]:
    """The directory a specification names, or else a hub id with its pinned revision."""
    directory = Path(which)
    if which and directory.is_dir():
        return ModelRef(directory.name, digest_of_directory(directory)), directory
    name, at, revision = which.partition("@")
    if not at or name.count("/") != 1:
        raise ConfigurationError(f"{spec!r}: there is no such directory, and a hub id needs its revision: NAME@COMMIT.")
    return ModelRef(name, revision), None


def _pairs(text: str) -> dict[str, str]:
    """ "sleep_seconds=0.1,crash_on=red" as options."""
    return {name: value for name, _, value in (part.partition("=") for part in text.split(",") if part)}


def _torch_dtype(placement: Placement) -> Any:
    import torch

    dtype = getattr(torch, placement.dtype or "float32", None)
    if not isinstance(dtype, torch.dtype):
        raise ConfigurationError(f"There is no dtype {placement.dtype!r}; there are float32, float16 and bfloat16.")
    return dtype


def _threads(placement: Placement) -> None:
    if placement.threads is not None:
        import torch

        torch.set_num_threads(placement.threads)


@contextmanager
def _wheels(extra: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ConfigurationError(
            f"{error.name} is not installed: install the package with its [{extra}] extra."
        ) from error
