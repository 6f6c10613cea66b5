"""/sources: the catalog, and which of its sources are enabled; the captioners and embedders."""

from datetime import UTC, date, datetime

from fastapi import APIRouter
from pydantic import Field

from app.api.dependencies import Caller, Catalog, Settings
from app.api.openapi import problems
from app.document_base import Document
from app.errors import NotFound
from attribution.catalog import LifecycleState, SeedSupport, Source
from attribution.errors import UnknownSource

router = APIRouter(prefix="/sources", tags=["sources"])


class LifecycleDocument(Document):
    """Whether the source is still available."""

    state: LifecycleState
    until: date | None = Field(description="the sunset date of a deprecated source")
    since: date | None = Field(description="the day on which a retired source became unavailable")
    note: str | None
    successor: str | None = Field(description="the source that replaces it")


class LimitsDocument(Document):
    """Limits on one call of the source, and on the calls of all workers together."""

    timeout_seconds: float
    max_prompt_chars: int | None = Field(description="a longer caption is truncated")
    concurrency: int | None = Field(description="concurrent calls; null: unlimited")
    per_minute: float | None = Field(description="calls per minute; null: unlimited")
    fewest_images: int = Field(1, description="what a job asks for at least, where it races")


class SourceEntryDocument(Document):
    """One candidate source."""

    id: str = Field(examples=["zoo-unet"])
    name: str
    family: str
    platform: str = Field(description="where it runs; `local` is this installation")
    model: str
    revision: str
    license: str
    terms: str | None = Field(description="the URL of its terms", examples=["https://example.com/terms"])
    enabled: bool = Field(
        description="whether jobs use it by default. A job cannot name a disabled source, unless it is available on "
        "request, `retired` or has no API; of the last two the job reports why they were not tested"
    )
    on_request: bool = Field(description="whether a job can name it although it is not enabled")
    lifecycle: LifecycleDocument
    warning: str | None = Field(description="a sentence about the sunset of a deprecated source")
    external: bool = Field(description="whether prompts are sent to third parties")
    seed: SeedSupport = Field(
        description="whether the same seed repeats a generated image; `unconfirmed`: accepted, but not promised"
    )
    sizes: list[str] = Field(
        description="sizes that it can generate: pixels, ratios, or `any`", examples=[["1024x1024", "16:9"]]
    )
    images_per_source: int | None = Field(description="the recommended γ; null: the job's")
    price_usd: float | None = Field(description="of one generated image; null: unknown")
    limits: LimitsDocument


class CaptionerDocument(Document):
    """A model that captions images."""

    name: str = Field(description="the value of a job's `captioner`", examples=["blip"])
    external: bool = Field(description="whether images are sent to third parties")
    price_usd: float | None = Field(description="of one caption; null: unknown")


class CatalogDocument(Document):
    """All sources in catalog order, which also decides ties, and the captioners and embedders."""

    sources: list[SourceEntryDocument]
    captioners: list[CaptionerDocument] = Field([], description="the first is the default")
    embedders: list[str] = Field(
        [], description="values of a job's `embedder`; the first is the default", examples=[["open_clip"]]
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
    """Get one source."""
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
            fewest_images=limits.fewest_images,
        ),
    )
