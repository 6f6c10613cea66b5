"""The catalog as data: which sources this installation knows, and which of them it asks."""

from datetime import UTC, date, datetime

from fastapi import APIRouter
from pydantic import Field

from app.api.dependencies import Caller, Catalog, Settings
from app.api.openapi import problems
from app.documents import Document
from app.errors import NotFound
from attribution.catalog import LifecycleState, SeedSupport, Source
from attribution.errors import UnknownSource

router = APIRouter(prefix="/sources", tags=["sources"])


class LifecycleDocument(Document):
    """Whether the thing can still be asked to draw."""

    state: LifecycleState
    until: date | None = Field(description="the day on which a deprecated source goes away")
    since: date | None = Field(description="the day on which a retired source went away")
    note: str | None
    successor: str | None = Field(description="the source that there is in its place")


class LimitsDocument(Document):
    """What one call of the source may take, and how many there may be over all workers."""

    timeout_seconds: float
    max_prompt_chars: int | None = Field(description="a longer caption is cut to this")
    concurrency: int | None = Field(description="calls at once; null: no limit of ours")
    per_minute: float | None = Field(description="calls in a minute; null: no limit of ours")


class SourceEntryDocument(Document):
    """One candidate generator."""

    id: str = Field(examples=["zoo-unet"])
    name: str
    family: str
    platform: str = Field(description="who serves it; `local` is this installation itself")
    model: str
    revision: str
    license: str
    terms: str | None = Field(description="the address of its terms", examples=["https://example.com/terms"])
    enabled: bool = Field(
        description="whether jobs ask it. A disabled one cannot be asked for by name, unless it is there on request, "
        "is `retired` or has no API: of the last two, the job says that they were not tested, and why"
    )
    on_request: bool = Field(description="whether a job that names it asks it, although it is not enabled")
    lifecycle: LifecycleDocument
    warning: str | None = Field(description="a sentence about a source that is to be switched off")
    external: bool = Field(description="whether prompts leave this installation")
    seed: SeedSupport = Field(
        description="whether the same seed repeats a generated image; `unconfirmed`: seeds are taken, nobody promises more"
    )
    sizes: list[str] = Field(
        description="what it can be asked for: pixels, ratios, or `any`", examples=[["1024x1024", "16:9"]]
    )
    images_per_source: int | None = Field(description="the γ that is advised for it; null: whatever the job asks")
    price_usd: float | None = Field(description="of one generated image; null where it is not known")
    limits: LimitsDocument


class CaptionerDocument(Document):
    """Who may describe images."""

    name: str = Field(description="what a job gives as `captioner`", examples=["blip"])
    external: bool = Field(description="whether images leave this installation")
    price_usd: float | None = Field(description="of one description; null where it is not known")


class CatalogDocument(Document):
    """All sources in catalog order, which also decides ties, and who describes images for them, or compares them."""

    sources: list[SourceEntryDocument]
    captioners: list[CaptionerDocument] = Field([], description="the first is the default")
    embedders: list[str] = Field(
        [], description="what a job may name as `embedder`; the first is the default", examples=[["open_clip"]]
    )


@router.get("", responses=problems())
def list_sources(_: Caller, catalog: Catalog, settings: Settings) -> CatalogDocument:
    """List the sources, the captioners and the embedders."""
    today = datetime.now(UTC).date()
    return CatalogDocument(
        sources=[_entry(source, today) for source in catalog.sources],
        captioners=[
            CaptionerDocument(name=name, external=each.external, price_usd=each.price_usd)
            for name, each in settings.models.offered.items()
        ],
        embedders=list(settings.models.offered_embedders),
    )


@router.get("/{source_id}", responses=problems(NotFound))
def get_source(source_id: str, _: Caller, catalog: Catalog) -> SourceEntryDocument:
    """Show one source."""
    try:
        return _entry(catalog.get(source_id), datetime.now(UTC).date())
    except UnknownSource as error:
        raise NotFound("The catalog has no such source; GET /sources lists them.") from error


def _entry(source: Source, today: date) -> SourceEntryDocument:
    life, limits = source.lifecycle, source.limits
    return SourceEntryDocument(
        id=source.id,
        name=source.name,
        family=source.family,
        platform=source.platform,
        model=source.model,
        revision=source.revision,
        license=source.license,
        terms=source.terms,
        enabled=source.enabled,
        on_request=source.on_request,
        lifecycle=LifecycleDocument(
            state=life.state, until=life.until, since=life.since, note=life.note, successor=life.successor
        ),
        warning=source.warning(today),
        external=source.external,
        seed=source.seed,
        sizes=list(source.sizes),
        images_per_source=source.images_per_source,
        price_usd=source.price_usd,
        limits=LimitsDocument(
            timeout_seconds=limits.timeout_seconds,
            max_prompt_chars=limits.max_prompt_chars,
            concurrency=limits.concurrency,
            per_minute=limits.per_minute,
        ),
    )
