"""Which sources a job asks: the catalogue, less what the caller left out, as rows to be."""

from collections.abc import Sequence
from datetime import date, timedelta

from app.errors import InvalidRequest, UnknownSource
from app.queue.steps import queue_of
from app.store.accepting import NewSource
from attribution import errors
from attribution.catalogue import Catalogue, Source
from attribution.ports import SourceState


def select_sources(
    catalogue: Catalogue, include: Sequence[str] | None, exclude: Sequence[str], today: date
) -> tuple[NewSource, ...]:
    """The selected sources in catalogue order; one that no program can ask today says so and stays untested.

    Raises UnknownSource, and InvalidRequest where nothing is left or a disabled source is asked for by name.
    """
    try:
        selected = catalogue.select(include, exclude)
    except errors.UnknownSource as error:
        known = [source.id for source in catalogue.sources]
        raise UnknownSource(f"{error} The sources here are: {', '.join(known)}.", known=known) from error
    if not selected:
        raise InvalidRequest(
            "No source is left to ask.",
            errors=[{"detail": "Exclude fewer sources, or name some that are not excluded.", "pointer": "#/exclude"}],
        )
    rows = tuple(_row(source, today) for source in selected)
    disabled = [
        source.id
        for source, row in zip(selected, rows, strict=True)
        if not source.enabled and row.state is SourceState.PENDING
    ]
    if disabled:
        raise InvalidRequest(
            f"This installation knows {', '.join(disabled)} but does not run it; see `enabled` in /sources.",
            errors=[{"detail": f"{name} is disabled here", "pointer": "#/sources"} for name in disabled],
        )
    return rows


def _row(source: Source, today: date) -> NewSource:
    state, reason = source.obstacle(today) or (SourceState.PENDING, None)
    return NewSource(
        source=source.id,
        family=source.family,
        platform=source.platform,
        model=source.model,
        revision=source.revision,
        queue=queue_of(source),
        timeout=timedelta(seconds=source.limits.timeout_seconds),
        state=state,
        reason=reason,
        external=source.external,
        warning=source.warning(today),
    )
