"""Reads `*.toml` into sources. Every mistake in a file is a ConfigurationError that names the file and the key.

Files are read in the order of their names, and that order decides ties. What a file may say is checked here; whether
its source could be asked as things stand is another question: `attribution/sources/check.py`.
"""

import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from attribution.catalog.catalog import Catalog
from attribution.catalog.source import (
    DEFAULT_TIMEOUT_SECONDS,
    LOCAL,
    NO_ADAPTER,
    Lifecycle,
    LifecycleState,
    Limits,
    SeedSupport,
    Source,
)
from attribution.errors import ConfigurationError
from attribution.toml import Table

_SIZE = re.compile(r"[1-9]\d{1,4}x[1-9]\d{1,4}|[1-9]\d?:[1-9]\d?|any")


def load_catalog(directories: Sequence[Path]) -> Catalog:
    """Read every `*.toml` of the directories, in the order given and by file name within each."""
    sources: list[Source] = []
    for directory in directories:
        if not directory.is_dir():
            raise ConfigurationError(f"The catalog directory {directory} does not exist.")
        sources.extend(map(read_source, files_of(directory)))
    seen: set[str] = set()
    for source in sources:
        if source.id in seen:
            raise ConfigurationError(f"Two catalog files describe the source {source.id!r}.")
        seen.add(source.id)
    return Catalog(sources)


def files_of(directory: Path) -> list[Path]:
    """The catalog files of one directory, in catalog order."""
    return sorted(directory.glob("*.toml"))


def read_source(path: Path) -> Source:
    """The source that a file describes. Raises ConfigurationError."""
    table = Table.read(path)
    if table.take("schema", int) != 1:
        raise table.error("schema", "must be 1, the only one this version reads")
    lifecycle = _lifecycle(table.table("lifecycle"))
    platform = table.take("platform", str)
    local = platform == LOCAL and not lifecycle.dead
    source = Source(
        schema=1,
        id=table.slug("id"),
        name=table.take("name", str),
        enabled=table.take("enabled", bool),
        family=table.take("family", str),
        platform=platform,
        model=table.take("model", str),
        revision=table.take("revision", str),
        license=table.take("license", str),
        memory_mb=table.positive("memory_mb", int) if local else table.positive("memory_mb", int, 0),
        adapter=table.take("adapter", str),
        lifecycle=lifecycle,
        parameters=table.table("parameters").scalars(),
        limits=_limits(table.table("limits")),
        price_usd=table.price("price_usd"),
        root=path.resolve().parent.parent,
        external=_external(table, platform),
        seed=table.choice("seed", SeedSupport, SeedSupport.YES if platform == LOCAL else SeedSupport.UNCONFIRMED),
        sizes=_sizes(table),
        images_per_source=table.positive("images_per_source", int, None),
        terms=_terms(table),
        on_request=bool(table.optional("on_request", bool)),
        file=path,
    )
    if source.adapter == NO_ADAPTER and not lifecycle.dead:
        raise table.error("adapter", f"can be {NO_ADAPTER!r} only for a source that is retired or has no API")
    table.done()
    return source


def _lifecycle(table: Table) -> Lifecycle:
    state = table.choice("state", LifecycleState, LifecycleState.LIVE)
    life = Lifecycle(
        state,
        table.optional("until", date),
        table.optional("since", date),
        table.optional("note", str),
        table.optional("successor", str),
    )
    if state is LifecycleState.DEPRECATED and life.until is None:
        raise table.error("until", "is needed: the day on which a deprecated source goes away")
    if state is LifecycleState.RETIRED and life.since is None:
        raise table.error("since", "is needed: the day on which a retired source went away")
    table.done()
    return life


def _limits(table: Table) -> Limits:
    limits = Limits(
        table.positive("timeout_seconds", float, DEFAULT_TIMEOUT_SECONDS),
        table.positive("max_prompt_chars", int, None),
        table.positive("concurrency", int, None),
        table.positive("per_minute", float, None),
    )
    table.done()
    return limits


def _external(table: Table, platform: str) -> bool:
    """Prompts leave for every other platform, unless its file says that it stands in the same house."""
    said = table.optional("external", bool)
    if said and platform == LOCAL:
        raise table.error("external", f"cannot be true where the platform is {LOCAL!r}")
    return platform != LOCAL if said is None else said


def _sizes(table: Table) -> tuple[str, ...]:
    sizes = table.strings("sizes")
    for size in sizes:
        if not _SIZE.fullmatch(size):
            raise table.error("sizes", f"must hold sizes such as 1024x1024, ratios such as 1:1, or any, not {size!r}")
    return sizes


def _terms(table: Table) -> str | None:
    terms = table.optional("terms", str)
    if terms is not None and not terms.startswith("https://"):
        raise table.error("terms", f"must be the https address of a page, not {terms!r}")
    return terms
