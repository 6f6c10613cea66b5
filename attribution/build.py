"""Turns a catalog entry, or a short specification, into an adapter.

Adapters are imported when they are built and not before: importing this module costs nothing and needs no ML
wheels.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from attribution.caption.spec import CaptionerSpec, PezOptions, RefineOptions, VlmOptions, parse
from attribution.catalog import Parameter, Source
from attribution.embed.spec import parse as parse_embedder
from attribution.errors import ConfigurationError, SourceUnavailable
from attribution.ports import Captioner, Embedder, Generator, ModelRef
from attribution.resynthesis.remote.connections import Connections, default_connections
from attribution.resynthesis.remote.vendors import NAMES as VENDORS
from attribution.weights import digest_of_directory, matches

# Parameters of a catalog entry that say how a pipeline is loaded; all others go into each call.
_LOADING = ("dtype", "variant", "without", "pipeline", "one_at_a_time", "allow_unpinned")


@dataclass(frozen=True, slots=True)
class Placement:
    """Where models run: what the operator of this process decides, and no catalog entry.

    `dtype` overrides a source's own, and the captioner's float32; `batch_size` is images generated at once; `memory_mb`
    bounds the pool of loaded generators; `threads` are torch's, which takes one per core if None.
    """

    device: str = "cpu"
    dtype: str | None = None
    offload: str = "none"
    batch_size: int = 4
    memory_mb: int = 16_000
    threads: int | None = None


def build_generator(source: Source, placement: Placement, outside: Connections | None = None) -> Generator:
    """The adapter of a catalog entry, loaded. Remote ones call vendors through `outside`, if given.

    Raises ConfigurationError where the entry is wrong, SourceUnavailable where its weights cannot be had.
    """
    builders: Mapping[str, Callable[[Source, Placement], Generator]] = {
        "diffusers": _diffusers,
        "fake": _fake,
    }
    if source.adapter in VENDORS:
        from attribution.resynthesis.remote.build import build_remote

        return build_remote(source, outside or default_connections())
    if source.adapter not in builders:
        known = ", ".join([*builders, *VENDORS])
        raise ConfigurationError(f"{source.id}: there is no adapter {source.adapter!r}; there are {known}.")
    return builders[source.adapter](source, placement)


def build_captioner(
    spec: str, placement: Placement, outside: Connections | None = None, loaded: Iterable[Captioner] = ()
) -> Captioner:
    """A captioner: "blip:DIRECTORY", "vlm:MODEL?base_url=…", "pez", "fake:" and others; see `caption/spec.py`.

    Those that are somewhere else are called through `outside`, if given; a BLIP that is `loaded` is not loaded twice.
    Raises ConfigurationError.
    """
    found = parse(spec)
    if found.kind == "fake":
        from attribution.caption.fake import FakeCaptioner, FakeCaptionerBehavior

        return FakeCaptioner(_options(FakeCaptionerBehavior, spec, found.which))
    if isinstance(found.options, VlmOptions):
        from attribution.caption.vlm import VlmCaptioner

        return VlmCaptioner(found.which, found.options, outside or default_connections())
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

    open_clip's take "#layer=8" behind them, for what a layer says; see `embed/tower.py`.
    """
    found = parse_embedder(spec)
    if found.kind == "fake":
        from attribution.embed.fake import FakeEmbedder, FakeEmbedderBehavior

        return FakeEmbedder(_options(FakeEmbedderBehavior, spec, found.which))
    if found.kind == "open_clip":
        with _wheels("ml"):
            from attribution.embed.open_clip import OpenClipEmbedder
        _threads(placement)
        # Always in float32: thresholds are measured in it, and a narrower dtype moves distances by a thousandth.
        return OpenClipEmbedder(found.which, device=placement.device, batch_size=max(32, placement.batch_size))
    with _wheels("onnx"):
        from attribution.embed.onnx import OnnxEmbedder
    size = max(32, placement.batch_size)
    return OnnxEmbedder(found.which, device=placement.device, batch_size=size, threads=placement.threads)


def _fake(source: Source, placement: Placement) -> Generator:
    from attribution.resynthesis.fake import FakeBehavior, FakeGenerator

    behavior = _behavior(FakeBehavior, f"{source.id}: parameters", source.parameters)
    if behavior.fail not in FakeBehavior.FAILURES:
        raise ConfigurationError(f"{source.id}: parameters.fail cannot be {behavior.fail!r}.")
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
        # Some pipelines of diffusers fail where they are given several prompts, PRX's among them.
        batch_size=1 if given.get("one_at_a_time") is True else placement.batch_size,
        variant=_text(source, "variant"),
        pipeline=_text(source, "pipeline") or "DiffusionPipeline",
        without=tuple(name.strip() for name in (_text(source, "without") or "").split(",") if name.strip()),
        max_prompt_chars=source.limits.max_prompt_chars,
        call={name: value for name, value in given.items() if name not in _LOADING},
    )
    return DiffusersGenerator.load(source.id, ModelRef(source.model, source.revision), settings, directory)


def locate_weights(source: Source) -> Path | None:
    """The directory of a diffusers source's weights, None for the hub; loads nothing.

    Raises as `build_generator` does, where the weights are not there, are others, or are not pinned.
    """
    directory = source.directory
    if directory is None:
        _check_pinned(source)
    elif not directory.is_dir():
        raise SourceUnavailable(f"The weights of {source.name} belong into {directory}, which does not exist.")
    elif not matches(source.revision, directory):
        raise ConfigurationError(
            f"{source.id}: {directory} holds {digest_of_directory(directory)}, the catalog says {source.revision}."
        )
    return directory


def _check_pinned(source: Source) -> None:
    """A branch moves: the same question would get another answer one day, and nobody would know why."""
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


def _options(kind: type[Any], spec: str, text: str) -> Any:
    """ "sleep_seconds=0.1,crash_on=red" as a fake's behavior."""
    options: dict[str, Parameter] = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        options[name] = {"true": True, "false": False}.get(value, value)
    return _behavior(kind, spec, options)


def _behavior(kind: type[Any], where: str, options: Mapping[str, Parameter]) -> Any:
    known = {field.name: partial(_as, field.type) for field in fields(kind)}
    try:
        return kind(**{name: known[name](value) for name, value in options.items()})
    except KeyError as error:
        raise ConfigurationError(f"{where}: a fake knows no {error}.") from None
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{where}: {error}") from None


def _as(kind: Any, value: Parameter) -> Parameter:
    if kind is float and isinstance(value, int | float | str):
        return float(value)
    if kind is int and isinstance(value, str):
        return int(value)
    if type(value) is not kind:
        raise TypeError(f"{value!r} should be a {kind.__name__}")
    return value


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
            f"This needs wheels of which {error.name} is missing: install the package with its [{extra}] extra."
        ) from error
