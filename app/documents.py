"""The documents that callers read: a job, its sources, its result. Built from rows, cached in Redis as JSON."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from app.db.models import Job, JobSource, JobStatus, SourceSpend, Stage
from app.document_base import Document
from app.image_documents import FindingDocument, ImageDocument, InputQualityDocument
from attribution.ports import Aggregate, DistanceName, Method, Origin, Policy, Reason, SourceState, VerdictKind
from attribution.race import Budget, RaceEnd


class SourceDocument(Document):
    """One source in one job."""

    source: str = Field(examples=["zoo-unet"])
    family: str
    platform: str
    model: str
    revision: str = Field(description="`by-caller` for reference images, whose revision is unknown")
    origin: Origin = Field(
        Origin.GENERATOR, description="`reference` where the caller uploads the images, otherwise `generator`"
    )
    state: SourceState
    reason: str | None = Field(
        description="a sentence, for every state that ended without an image, and where reference images are awaited"
    )
    warning: str | None = Field(
        None, description="a sentence about a source that has a sunset date, and its replacement"
    )
    seeds: list[int | None] = Field(
        description="of the generated images, in the order of k; null where it is not known"
    )
    generated_images: list[str] = Field(
        [], description="paths of the generated images, in the order of k, until deleted"
    )
    prompts: list[str | None] = Field(
        [],
        description="the prompts used instead of the caption, in the order of k: cut, or rewritten by the vendor",
    )
    cached: bool = Field(
        False, description="whether all of its generated images were taken from the cache: nothing was sent to it"
    )
    references: str | None = Field(
        None, description="where to upload its reference images, as long as they are awaited"
    )
    started_at: datetime | None
    completed_at: datetime | None


class Cached(StrEnum):
    """What of a job was taken from the cache."""

    ANSWER = "answer"
    GENERATED_IMAGES = "generated_images"


class RankedDocument(Document):
    """A tested source's place in the ranking: greatest `match` first, or nearest first with the method `cosine`.

    With a `fusion`, greatest `fused` first.
    """

    source: str
    family: str
    origin: Origin = Field(Origin.GENERATOR, description="`reference` where the caller uploaded the images")
    distance: float = Field(description="over the source's generated images, as `aggregate` says")
    score: float = Field(description="softmax(−distance/τ); a score, not a probability")
    match: float | None = Field(
        None,
        description="how like its images the query is once content is subtracted; compares the sources of a job",
    )
    probability: float | None = Field(
        None, description="calibrated on past jobs, given that one of the tested sources made the image"
    )
    distances: list[float] = Field(description="of each generated image, in the order of k")
    external_score: float | None = Field(None, description="the caller's score; null where there is none")
    fused: float | None = Field(
        None, description="what the order follows where there is a `fusion`: weighted sum of z-scores"
    )


class FusionDocument(Document):
    """That the ranking was fused with the caller's scores, and how. Distances, scores and `margin` are ours alone."""

    weight: float = Field(description="of the caller's scores; 1 − weight is that of our distances")
    margin: float | None = Field(description="the first's lead in `fused`; null with fewer than two tested")
    unused: list[str] = Field([], description="sources with a score that were not tested, and so are not ranked")


class ThresholdDocument(Document):
    """What a source's distance and margin must pass to be named."""

    max_distance: float
    min_margin: float
    measured: dict[str, Any] = Field(description="what was measured when the threshold was set")
    calibration: str | None = Field(None, description="the calibration file it came from, and a hash of its content")


class MeasuredDocument(Document):
    """What such a statement was worth in simulated queries: past resyntheses, whose sources are known."""

    queries: int = Field(description="how many there were")
    named: float = Field(description="the share about which it was made")
    right: float | None = Field(description="the share of those about which it was right; null with none")
    strangers: int = Field(description="how many queries by sources that were left out")
    strangers_named: float = Field(description="the share of those about which it was made, and wrong")


class EstimateDocument(Document):
    """What past jobs say: calibrated on their resyntheses, never on query images."""

    bank: str = Field(description="the state of the bank that answered")
    jobs: dict[str, int] = Field(
        description="how many past jobs of each tested source there are at least, as a round number"
    )
    prediction_set: list[str] = Field(
        description="the sources that the image is by with 90 % probability, if a tested one made it; likeliest first"
    )
    coverage: float = Field(description="that probability, as a share")
    fit: float = Field(
        description="how like the likeliest source's images the query is, in standard deviations from the mean of that "
        "source's own images; far below 0, probably none of the tested sources made it"
    )


class VerdictDocument(Document):
    """The answer: a source, several, or why none is named. What derives from a named source counts as that one."""

    kind: VerdictKind = Field(
        description="`attributed` to one source; `attributed_family`: to one of several relatives; `narrowed`: to a "
        "set smaller than the tested sources, if one of them made the image; `inconclusive`"
    )
    source: str | None
    sources: list[str] = Field(
        [], description="the relatives of `attributed_family`, or the set of `narrowed`; likeliest first"
    )
    reason: Reason | None
    threshold: ThresholdDocument | None = Field(description="only with the method `cosine`")
    measured: MeasuredDocument | None = Field(None, description="what such verdicts were worth when measured")
    policy: Policy = Field(Policy.OPEN, description="whether the image may be by a source that was not tested")


class RaceRoundDocument(Document):
    """One round: some sources generate until each has so many images."""

    images: int = Field(description="that each of the sources is to have, those of earlier rounds included")
    sources: list[str]


class RaceDocument(Document):
    """How sources raced: all begin with one image, and only those that may still be the first get more."""

    rounds: list[RaceRoundDocument]
    images: dict[str, int] = Field(description="how many images of each source there are")
    end: RaceEnd | None = Field(
        None,
        description="why there was no further round: `one_left`, no other source is likely enough; `all_images`, those "
        "that are have all images; `deadline`, it would not have ended in time. Null while it runs",
    )


class ResultDocument(Document):
    """The ranked answer, and everything needed to reproduce it."""

    schema_version: int
    caption: str | None = Field(description="null once its retention has passed")
    captioner: str = Field(
        description="model@revision, or `given` where the caller gave the prompt; empty where the image shows nothing"
    )
    embedder: str | None = Field(description="model@revision; null where nothing was generated")
    method: Method = Field(
        Method.COSINE, description="by what the ranking was made; with one tested source always `cosine`"
    )
    distance: str = Field(examples=["cosine"], description="of the distances, whatever the method")
    images_per_source: int = Field(description="γ, images to be generated by each source")
    aggregate: Aggregate = Field(
        Aggregate.MEAN, description="which similarity stands for a source; `max` is that of its nearest generated image"
    )
    quorum: int = Field(description="sources that had to be tested")
    temperature: float = Field(description="τ of the scores")
    calibrated: bool = Field(description="whether the scores are calibrated")
    ranking: list[RankedDocument]
    margin: float | None = Field(description="second-best minus best distance; null with fewer than two tested")
    estimate: EstimateDocument | None = Field(None, description="null without a bank that knows the tested sources")
    fusion: FusionDocument | None = Field(None, description="null where the caller sent no `external_scores`")
    verdict: VerdictDocument
    race: RaceDocument | None = Field(None, description="null where every source was to generate γ images")


class CallsDocument(Document):
    """What was sent to one source, or to a remote captioner, for a job."""

    source: str = Field(description="its id, or the captioner's name")
    sent: str = Field(description="what of the job: its caption (`prompt`), or its `image`", examples=["prompt"])
    external: bool = Field(description="whether it was sent to a third party")
    calls: int = Field(description="orders, repeated ones included")
    images: int = Field(description="that were ordered")
    usd: float = Field(description="what was billed, by the catalog's prices; or may have been, while unsettled")
    unsettled: int = Field(description="calls whose outcome is unknown (yet): they count as if they were billed")


class SpendDocument(Document):
    """A job's budget for calls to vendors, and what it has spent."""

    budget_usd: float | None = Field(None, description="never exceeded; null without a bound")
    usd: float = Field(0.0, description="spent or reserved so far")
    calls: list[CallsDocument] = Field([])


class JobDocument(Document):
    """A job: poll it until `status` is `succeeded`, `failed` or `canceled`."""

    id: uuid.UUID
    status: JobStatus
    stage: Stage | None = Field(description="the step it waits for or is in; null once ended")
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    deadline_at: datetime
    query_image: str | None = Field(None, description="the path of the image; null if not fetched yet, or deleted")
    image: ImageDocument | None = Field(description="null until it is fetched, where it was given by URL")
    input_quality: InputQualityDocument | None = Field(
        None, description="what about the image may cost accuracy; null until it is screened"
    )
    images_per_source: int
    method: Method = Field(Method.COSINE, description="by what the ranking is made")
    policy: Policy = Field(Policy.OPEN, description="whether the image may be by a source that is not tested")
    budget: Budget = Field(
        Budget.FIXED, description="`fixed`: every source generates γ images; `racing`: up to γ; `auto`: either"
    )
    race: RaceDocument | None = Field(
        None, description="the rounds so far, of a job that races; how it ended is in `result`"
    )
    distance: DistanceName = Field(description="by which the ranking is made with the method `cosine`")
    aggregate: Aggregate = Field(description="which similarity stands for a source")
    external_scores: dict[str, float] | None = Field(
        None, description="another method's scores, as the caller gave them"
    )
    fusion_weight: float | None = Field(None, description="how much they count; null without any")
    external_id: str | None = Field(description="as the caller gave it")
    metadata: dict[str, Any] | None = Field(description="as the caller gave it")
    prompt: str | None = Field(description="the caption as given by the caller")
    captioner: str | None = Field(
        None, description="the captioner that the caller named; the one that captioned the image is in `result`"
    )
    embedder: str | None = Field(
        None, description="the embedder that the caller named; the one that was used is in `result`"
    )
    caption: str | None = Field(
        None,
        description="the text that every source is given, once it is known; reference images are generated from it",
    )
    seed: int | None
    local_only: bool = Field(False, description="whether nothing of it is sent to third parties")
    spend: SpendDocument = SpendDocument()
    sources: list[SourceDocument]
    cached: Cached | None = Field(
        None,
        description="`answer`: the result is that of an earlier job with the same file and options; "
        "`generated_images`: all images came from the cache, the distances are this image's own; null: "
        "something was generated",
    )
    cached_from: uuid.UUID | None = Field(None, description="your job whose result it is; it may be deleted since")
    timings: dict[str, float] = Field(description="seconds per stage so far, waiting included")
    evidence: list[FindingDocument] = Field([], description="what the image itself says about its origin")
    result: ResultDocument | None
    error: dict[str, Any] | None = Field(description="a problem document, for a failed job")


def job_document(job: Job, sources: Sequence[JobSource], spent: Sequence[SourceSpend] = ()) -> JobDocument:
    """The document of a job, its sources in catalog order, and what was spent on it."""
    return JobDocument(
        id=job.id,
        status=JobStatus(job.status),
        stage=Stage(job.stage) if job.stage else None,
        created_at=job.created_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
        deadline_at=job.deadline_at,
        query_image=f"{_images(job)}/query" if job.query_blob and not job.images_deleted_at else None,
        image=ImageDocument.model_validate(_without_quality(job.image)) if job.image else None,
        input_quality=_input_quality(job),
        images_per_source=job.images_per_source,
        method=job.method_options.method,
        policy=job.method_options.policy,
        budget=job.method_options.budget,
        race=race_document(job, sources),
        distance=job.method_options.distance,
        aggregate=job.method_options.aggregate,
        external_scores=job.external_scores and dict(job.external_scores.scores),
        fusion_weight=job.external_scores and job.external_scores.weight,
        external_id=job.external_id,
        metadata=job.labels,
        prompt=job.prompt,
        captioner=job.method_options.captioner,
        embedder=job.method_options.embedder,
        caption=job.caption,
        seed=job.seed,
        cached=_cached(job, sources),
        cached_from=job.cached_from if _answered_before(job) else None,
        local_only=job.local_only,
        spend=_spend_document(job, spent),
        sources=[_source_document(job, row) for row in sources],
        timings=job.timings,
        evidence=[FindingDocument.model_validate(each) for each in (job.evidence or {}).get("findings", [])],
        result=ResultDocument.model_validate(job.result) if job.result else None,
        error=job.error,
    )


def race_document(job: Job, sources: Sequence[JobSource], end: RaceEnd | None = None) -> RaceDocument | None:
    """The rounds of a job's race, and how many images it has; None of one that does not race."""
    if job.race is None:
        return None
    return RaceDocument(
        rounds=[RaceRoundDocument(images=each.images, sources=list(each.sources)) for each in job.race.rounds],
        images={row.source: len(row.generated_images) for row in sources},
        end=end,
    )


def _without_quality(image: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in image.items() if name != "quality"}


def _input_quality(job: Job) -> InputQualityDocument | None:
    """Known once the image is screened; it is stored with what else is known of the file."""
    found = (job.image or {}).get("quality")
    return InputQualityDocument.model_validate(found) if found else None


def references_path(job_id: uuid.UUID, source: str) -> str:
    """Where reference images of a source are uploaded."""
    return f"/attribute/{job_id}/references/{source}"


def _spend_document(job: Job, spent: Sequence[SourceSpend]) -> SpendDocument:
    return SpendDocument(
        budget_usd=None if job.budget_usd is None else float(job.budget_usd),
        usd=float(job.spent_usd),
        calls=[CallsDocument.model_validate(each) for each in spent],
    )


def _answered_before(job: Job) -> bool:
    """Until a job has succeeded, `cached_from` only says where the answer might be."""
    return job.cached_from is not None and job.status == JobStatus.SUCCEEDED


def _cached(job: Job, sources: Sequence[JobSource]) -> Cached | None:
    if _answered_before(job):
        return Cached.ANSWER
    generated = [row for row in sources if row.generated_images]
    whole = job.status == JobStatus.SUCCEEDED and generated and all(map(_taken, generated))
    return Cached.GENERATED_IMAGES if whole else None


def _taken(row: JobSource) -> bool:
    return bool(row.generated_images) and all(image.generated_at is not None for image in row.generated_images)


def _images(job: Job) -> str:
    return f"/attribute/{job.id}/images"


def _source_document(job: Job, row: JobSource) -> SourceDocument:
    return SourceDocument(
        source=row.source,
        family=row.family,
        platform=row.platform,
        model=row.model,
        revision=row.revision,
        origin=Origin(row.origin),
        state=SourceState(row.state),
        reason=row.reason,
        warning=row.warning,
        seeds=[image.seed for image in row.generated_images],
        generated_images=[]
        if job.images_deleted_at
        else [f"{_images(job)}/{row.source}/{image.k}" for image in row.generated_images],
        prompts=_resynthesized(row),
        cached=_taken(row),
        references=references_path(job.id, row.source) if row.state == SourceState.AWAITING_REFERENCE else None,
        started_at=row.started_at,
        completed_at=row.completed_at,
    )


def _resynthesized(row: JobSource) -> list[str | None]:
    """The texts that were generated; nothing where all of them are the caption."""
    prompts = [image.prompt for image in row.generated_images]
    return prompts if any(prompts) else []
