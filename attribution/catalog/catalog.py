"""The sources of one installation: read from their files, and selected for a request."""

import re
from collections.abc import Collection, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, field_validator, model_validator

from attribution.catalog.source import (
    DEFAULT_TIMEOUT_SECONDS,
    LOCAL,
    NO_ADAPTER,
    Lifecycle,
    LifecycleState,
    Limits,
    Parameter,
    SeedSupport,
    Source,
)
from attribution.errors import ConfigurationError, UnknownSource
from attribution.validation import FileTable, read_table, read_toml


class Catalog:
    """The sources this installation knows, in catalog order."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources: tuple[Source, ...] = tuple(sources)
        self._by_id = {source.id: source for source in self.sources}

    def __contains__(self, source_id: object) -> bool:
        return source_id in self._by_id

    def get(self, source_id: str) -> Source:
        """The source of that id. Raises UnknownSource."""
        if source_id not in self._by_id:
            raise UnknownSource([source_id])
        return self._by_id[source_id]

    def available(self, today: date) -> tuple[Source, ...]:
        """The enabled sources that can be used today: those that the installation needs workers and models for."""
        return tuple(source for source in self.sources if source.enabled and source.obstacle(today) is None)

    def with_local(self, ids: Collection[str]) -> "Catalog":
        """This catalog with no local sources but these; the others stay. Raises ConfigurationError."""
        if unknown := set(ids) - {source.id for source in self.sources if source.is_local}:
            raise ConfigurationError(f"The catalog has no local source {', '.join(sorted(unknown))}.")
        return Catalog([source for source in self.sources if not source.is_local or source.id in ids])

    def select(
        self, include: Sequence[str] | None, exclude: Sequence[str], besides: Collection[str] = ()
    ) -> tuple[Source, ...]:
        """The enabled sources, or exactly those of `include`, without those of `exclude`; always in catalog order.

        Sources in `besides` are always selected: the caller supplies reference images of them. A disabled source in
        `include` is selected, too, so that the result says why it was not tested.
        Raises UnknownSource with every id that is not in the catalog.
        """
        unknown = [name for name in (*(include or ()), *exclude, *besides) if name not in self._by_id]
        if unknown:
            raise UnknownSource(unknown)
        return tuple(
            source
            for source in self.sources
            if source.id in besides
            or ((source.enabled if include is None else source.id in include) and source.id not in exclude)
        )


_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_SIZE = re.compile(r"[1-9]\d{1,4}x[1-9]\d{1,4}|[1-9]\d?:[1-9]\d?|any")


def load_catalog(directories: Sequence[Path]) -> Catalog:
    """Read every `*.toml` of the directories, in the order given and by file name within each."""
    sources = [read_source(path) for directory in directories for path in files_of(directory)]
    ids = [source.id for source in sources]
    for source_id in ids:
        if ids.count(source_id) > 1:
            raise ConfigurationError(f"Two catalog files describe the source {source_id!r}.")
    return Catalog(sources)


def files_of(directory: Path) -> list[Path]:
    """The catalog files of one directory, in catalog order. Raises ConfigurationError if there is no such directory."""
    if not directory.is_dir():
        raise ConfigurationError(f"The catalog directory {directory} does not exist.")
    return sorted(directory.glob("*.toml"))


def read_source(path: Path) -> Source:
    """The source that a file describes. Raises ConfigurationError."""
    table = read_table(_SourceTable, read_toml(path), str(path))
    values = dict(table) | {
        "lifecycle": Lifecycle(**dict(table.lifecycle)),
        "limits": Limits(**dict(table.limits)),
        "memory_mb": table.memory_mb or 0,
        "batch": None if table.batch == "auto" else table.batch,
        "external": not table.is_local if table.external is None else table.external,
        "seed": table.seed or (SeedSupport.YES if table.is_local else SeedSupport.UNCONFIRMED),
    }
    return Source(schema=values.pop("schema_"), **values, root=path.resolve().parent.parent, file=path)


def _parameter(value: Any) -> Parameter:
    if not isinstance(value, str | int | float):
        raise ValueError(f"must be a string, a number or true/false, not {value!r}")
    return value


_Text = Annotated[str, Field(min_length=1)]
_Whole = Annotated[int, Field(gt=0)]
_Number = Annotated[float, Field(gt=0)]


class _LifecycleTable(FileTable):
    state: Annotated[LifecycleState, Field(strict=False)] = LifecycleState.LIVE
    until: date | None = None
    since: date | None = None
    note: _Text | None = None
    successor: _Text | None = None

    @model_validator(mode="after")
    def _dates(self) -> "_LifecycleTable":
        if self.state is LifecycleState.DEPRECATED and self.until is None:
            raise ValueError("needs until: the last day of a deprecated source")
        if self.state is LifecycleState.RETIRED and self.since is None:
            raise ValueError("needs since: the day on which a retired source was switched off")
        return self


class _LimitsTable(FileTable):
    timeout_seconds: _Number = DEFAULT_TIMEOUT_SECONDS
    max_prompt_chars: _Whole | None = None
    concurrency: _Whole | None = None
    per_minute: _Number | None = None
    fewest_images: Annotated[int, Field(ge=1, le=16)] = 1


class _SourceTable(FileTable):
    """The keys of a file, in the order in which mistakes are reported; the defaults that depend on others are None."""

    schema_: Annotated[Literal[1], Field(alias="schema")]
    id: str
    name: _Text
    enabled: bool
    family: _Text
    platform: _Text
    model: _Text
    revision: _Text
    license: _Text
    adapter: _Text
    lifecycle: _LifecycleTable = _LifecycleTable()
    memory_mb: _Whole | None = None
    memory_mb_per_image: _Whole | None = None
    batch: _Whole | Literal["auto"] = "auto"
    parameters: dict[str, Annotated[Parameter, PlainValidator(_parameter)]] = Field({})
    limits: _LimitsTable = _LimitsTable()
    price_usd: Annotated[float, Field(ge=0)] | None = None
    external: bool | None = None
    seed: Annotated[SeedSupport, Field(strict=False)] | None = None
    sizes: Annotated[tuple[_Text, ...], Field(strict=False)] = ()
    images_per_source: _Whole | None = None
    terms: _Text | None = None
    on_request: bool = False

    @property
    def is_local(self) -> bool:
        return self.platform == LOCAL

    @field_validator("id")
    @classmethod
    def _lower_case(cls, value: str) -> str:
        if not _ID.fullmatch(value):  # it becomes the name of a queue and a part of blob keys
            raise ValueError(f"must be lower-case letters, digits, dots, dashes or underscores, not {value!r}")
        return value

    @field_validator("sizes")
    @classmethod
    def _sizes(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for size in values:
            if not _SIZE.fullmatch(size):
                raise ValueError(f"must hold sizes such as 1024x1024, ratios such as 1:1, or any, not {size!r}")
        return values

    @field_validator("terms")
    @classmethod
    def _https(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("https://"):
            raise ValueError(f"must be the https address of a page, not {value!r}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "_SourceTable":
        unavailable = self.lifecycle.state in (LifecycleState.RETIRED, LifecycleState.NO_API)
        if self.is_local and not unavailable and self.memory_mb is None:
            raise ValueError("memory_mb is missing")
        if self.is_local and self.external:
            raise ValueError(f"external cannot be true if the platform is {LOCAL!r}")
        if self.adapter == NO_ADAPTER and not unavailable:
            raise ValueError(f"adapter can be {NO_ADAPTER!r} only for a source that is retired or has no API")
        return self
