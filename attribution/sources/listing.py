"""`sources list`: the catalog as a table for people and as JSON for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

from attribution.catalog import Catalog, LifecycleState, Source

_HEAD = ("source", "lifecycle", "adapter", "enabled", "seed", "price", "prompts")


def as_table(catalog: Catalog, today: date) -> str:
    """A row for each source; below, a sentence for each that is not available, or soon will not be."""
    rows = [_HEAD, *(_row(source, today) for source in catalog.sources)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    notes = [f"{source.id}: {note}" for source in catalog.sources if (note := _note(source, today))]
    return "\n".join([*lines, *([""] if notes else []), *notes])


def as_json(catalog: Catalog, today: date) -> str:
    """A list of objects with the content of the files, and today's obstacle or warning."""
    return json.dumps([_document(source, today) for source in catalog.sources], indent=2, default=str)


def _row(source: Source, today: date) -> Sequence[str]:
    unavailable = source.obstacle(today) is not None
    return (
        source.id,
        _lifecycle(source, today),
        source.adapter,
        "yes" if source.enabled else "on request" if source.on_request else "no",
        "–" if unavailable else source.seed,
        "–" if unavailable else _price(source),
        "–" if unavailable else "third party" if source.external else "internal",
    )


def _lifecycle(source: Source, today: date) -> str:
    life = source.lifecycle
    if life.state is LifecycleState.NO_API:
        return "no API"
    if life.state is LifecycleState.LIVE:
        return "live"
    if source.obstacle(today) is None:
        return f"until {life.until}"
    return f"ended {life.since or life.until}"


def _price(source: Source) -> str:
    if source.price_usd is None:
        return "unknown" if source.external else "–"
    return f"${source.price_usd:.3f}"


def _note(source: Source, today: date) -> str | None:
    obstacle = source.obstacle(today)
    return obstacle[1] if obstacle is not None else source.warning(today)


def _document(source: Source, today: date) -> dict[str, Any]:
    obstacle = source.obstacle(today)
    return {
        **{key: value for key, value in asdict(source).items() if key not in ("schema", "root")},
        "obstacle": obstacle and {"state": obstacle[0], "reason": obstacle[1]},
        "warning": source.warning(today),
    }
