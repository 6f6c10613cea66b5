"""The catalogue as data: which sources this installation knows, and which of them it asks."""

from datetime import date

from fastapi import APIRouter
from pydantic import Field

from app.api.dependencies import Caller, Catalogue
from app.api.openapi import problems
from app.documents import Document
from app.errors import NotFound
from attribution.catalogue import LifecycleState, Source
from attribution.errors import UnknownSource

router = APIRouter(prefix="/sources", tags=["sources"])


class LifecycleDocument(Document):
    """Whether the thing can still be asked to draw."""

    state: LifecycleState
    until: date | None = Field(description="the day on which a deprecated source goes away")
    since: date | None = Field(description="the day on which a retired source went away")
    note: str | None


class LimitsDocument(Document):
    """What one call of the source may take."""

    timeout_seconds: float
    max_prompt_chars: int | None


class SourceEntryDocument(Document):
    """One candidate generator."""

    id: str = Field(examples=["zoo-unet"])
    name: str
    family: str
    platform: str = Field(description="who serves it; `local` is this installation itself")
    model: str
    revision: str
    licence: str
    enabled: bool = Field(description="whether jobs ask it; a disabled one cannot be asked for by name")
    lifecycle: LifecycleDocument
    limits: LimitsDocument


class CatalogueDocument(Document):
    """All sources in catalogue order, which also decides ties."""

    sources: list[SourceEntryDocument]


@router.get("", responses=problems())
def list_sources(_: Caller, catalogue: Catalogue) -> CatalogueDocument:
    """List the sources."""
    return CatalogueDocument(sources=[_entry(source) for source in catalogue.sources])


@router.get("/{source_id}", responses=problems(NotFound))
def get_source(source_id: str, _: Caller, catalogue: Catalogue) -> SourceEntryDocument:
    """Show one source."""
    try:
        return _entry(catalogue.get(source_id))
    except UnknownSource as error:
        raise NotFound("The catalogue has no such source; GET /sources lists them.") from error


def _entry(source: Source) -> SourceEntryDocument:
    life, limits = source.lifecycle, source.limits
    return SourceEntryDocument(
        id=source.id,
        name=source.name,
        family=source.family,
        platform=source.platform,
        model=source.model,
        revision=source.revision,
        licence=source.licence,
        enabled=source.enabled,
        lifecycle=LifecycleDocument(state=life.state, until=life.until, since=life.since, note=life.note),
        limits=LimitsDocument(timeout_seconds=limits.timeout_seconds, max_prompt_chars=limits.max_prompt_chars),
    )
