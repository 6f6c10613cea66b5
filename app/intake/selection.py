"""Selects the sources of a job: the catalog's, as the caller includes and excludes them, as rows to be inserted."""

from collections.abc import Collection, Sequence
from datetime import date, timedelta

from app.errors import MAX_MISTAKES, InvalidRequest, UnknownSourceProblem
from app.intake.options import mistake
from app.jobs.acceptance import NewSource
from app.queue.steps import REFERENCE_QUEUE, queue_of
from attribution import errors
from attribution.catalog import Catalog, Source
from attribution.ports import BY_CALLER, Origin, SourceState

_AWAITED = "Waits for reference images of this source, which the caller generates from the job's caption and uploads."
# For screening the reference images of one source.
_SCREENING = timedelta(minutes=5)


def select_sources(
    catalog: Catalog,
    include: Sequence[str] | None,
    exclude: Sequence[str],
    today: date,
    *,
    uploaded: Collection[str] = (),
    awaited: Collection[str] = (),
) -> tuple[NewSource, ...]:
    """The selected sources in catalog order.

    Args:
        catalog: The sources that this installation knows.
        include: Ids from the caller; None for all enabled sources.
        exclude: Ids to leave out.
        today: Decides which sources are retired. A source that cannot be called gets its state and reason here.
        uploaded: Sources with reference images in this request. They are selected even where they are disabled, and
            no images are generated with them.
        awaited: Sources whose reference images the caller uploads later; otherwise like `uploaded`.

    Raises:
        UnknownSourceProblem: A name is not in the catalog.
        InvalidRequest: No source is left, or a disabled source is included by name.
    """
    try:
        selected = catalog.select(include, exclude, (*uploaded, *awaited))
    except errors.UnknownSource as error:
        known = [source.id for source in catalog.sources]
        raise UnknownSourceProblem(f"{error} The sources here are: {', '.join(known)}.", known=known) from error
    if not selected:
        wrong = (
            mistake("exclude", "Exclude fewer sources, or name some that are not excluded.")
            if include is None or include
            else mistake("sources", "names no source")
        )
        raise InvalidRequest("No source is selected.", errors=[wrong])
    references = {
        **dict.fromkeys(uploaded, (SourceState.DONE, None)),
        **dict.fromkeys(awaited, (SourceState.AWAITING_REFERENCE, _AWAITED)),
    }
    rows = tuple(
        _reference(source, *references[source.id]) if source.id in references else _row(source, today)
        for source in selected
    )
    disabled = [
        source.id
        for source, row in zip(selected, rows, strict=True)
        if not source.is_usable and row.state is SourceState.PENDING
    ]
    if disabled:
        raise InvalidRequest(
            f"This installation knows {', '.join(disabled)} but does not run it; see `enabled` and `on_request` in "
            "/sources.",
            errors=[{"detail": f"{name} is disabled here", "pointer": "#/sources"} for name in disabled],
        )
    return rows


def check_external_scores(catalog: Catalog, external_scores: Collection[str]) -> None:
    """Raises UnknownSourceProblem with a pointer to every score whose source is not in the catalog."""
    unknown = [name for name in external_scores if name not in catalog]
    if unknown:
        known = [source.id for source in catalog.sources]
        raise UnknownSourceProblem(
            f"{errors.UnknownSource(unknown)} The sources here are: {', '.join(known)}.",
            known=known,
            errors=[mistake("external_scores", "There is no such source.", name) for name in unknown[:MAX_MISTAKES]],
        )


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


def _reference(source: Source, state: SourceState, reason: str | None) -> NewSource:
    return NewSource(
        source=source.id,
        family=source.family,
        platform=source.platform,
        model=source.model,
        revision=BY_CALLER,
        queue=REFERENCE_QUEUE,
        timeout=_SCREENING,
        state=state,
        reason=reason,
        origin=Origin.REFERENCE,
    )
