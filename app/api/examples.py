"""The examples in the OpenAPI document: built as the documents themselves, so that they cannot go out of date."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi.sse import format_sse_event

from app.db.models import RESULT_SCHEMA_VERSION, JobStatus, Stage
from app.documents import (
    ImageDocument,
    JobDocument,
    RankedDocument,
    ResultDocument,
    SourceDocument,
    SpendDocument,
    ThresholdDocument,
    VerdictDocument,
)
from app.jobs.progress import ReaderPosition, events
from attribution.ports import Aggregate, DistanceName, SourceState, VerdictKind

_ID = uuid.UUID("019b7c3e-5d08-7a51-9c0e-2f4f1f0f6a11")
# A PNG of one pixel, in base64.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mM4oaEBAALUARk7rVwIAAAAAElFTkSuQmCC"
# One of two pixels, for what may not be all of one color.
DOTS = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAIAAAB7QOjdAAAAD0lEQVR4nGNgYGD4//8/AAYBAv4CsjmuAAAAAElFTkSuQmCC"

_CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def _source(name: str, family: str, *, generated: bool) -> SourceDocument:
    return SourceDocument(
        source=name,
        family=family,
        platform="local",
        model=f"zoo/models/{name}",
        revision="1",
        state=SourceState.DONE if generated else SourceState.PENDING,
        reason=None,
        seeds=[2_110_473_101, 90_441_872] if generated else [],
        generated_images=[f"/attribute/{_ID}/images/{name}/{k}" for k in (0, 1)] if generated else [],
        started_at=_CREATED + timedelta(seconds=1) if generated else None,
        completed_at=_CREATED + timedelta(seconds=2) if generated else None,
    )


_QUEUED = JobDocument(
    id=_ID,
    status=JobStatus.QUEUED,
    stage=Stage.SCREENING,
    created_at=_CREATED,
    started_at=None,
    completed_at=None,
    deadline_at=_CREATED + timedelta(minutes=15),
    query_image=f"/attribute/{_ID}/images/query",
    image=ImageDocument(format="PNG", width=512, height=512, frames=1, sha256="6f" * 32, size=310_284),
    images_per_source=2,
    distance=DistanceName.COSINE,
    aggregate=Aggregate.MEAN,
    external_id="upload-4711",
    metadata={"queue": "appeals", "reporter": 17},
    prompt=None,
    seed=None,
    spend=SpendDocument(budget_usd=5.0, usd=0.0, calls=[]),
    sources=[_source("zoo-unet", "unet", generated=False), _source("zoo-flow", "transformer", generated=False)],
    timings={},
    result=None,
    error=None,
)
_SUCCEEDED = _QUEUED.model_copy(
    update={
        "status": JobStatus.SUCCEEDED,
        "stage": None,
        "started_at": _CREATED + timedelta(milliseconds=100),
        "completed_at": _CREATED + timedelta(seconds=3),
        "sources": [_source("zoo-unet", "unet", generated=True), _source("zoo-flow", "transformer", generated=True)],
        "timings": {"screening": 0.02, "captioning": 0.4, "resynthesizing": 1.9, "embedding": 0.3, "ranking": 0.01},
        "result": ResultDocument(
            schema_version=RESULT_SCHEMA_VERSION,
            caption="a person with red hair on a blue background",
            captioner="zoo/models/captioner@1",
            embedder="zoo/models/clip@1",
            distance="cosine",
            images_per_source=2,
            quorum=2,
            temperature=1.0,
            calibrated=False,
            ranking=[
                RankedDocument(
                    source="zoo-flow", family="transformer", distance=0.11, score=0.52, distances=[0.1, 0.12]
                ),
                RankedDocument(source="zoo-unet", family="unet", distance=0.19, score=0.48, distances=[0.2, 0.18]),
            ],
            margin=0.08,
            verdict=VerdictDocument(
                kind=VerdictKind.ATTRIBUTED,
                source="zoo-flow",
                reason=None,
                threshold=ThresholdDocument(max_distance=0.15, min_margin=0.02, measured={"images": 200}),
            ),
        ),
    }
)

JOB: dict[int, dict[str, Any]] = {202: _QUEUED.model_dump(mode="json"), 200: _SUCCEEDED.model_dump(mode="json")}
# By hand: its document is defined where this module is needed.
SOURCE: dict[str, Any] = {
    "id": "gpt-image-1-5",
    "name": "GPT Image 1.5",
    "family": "gpt-image",
    "platform": "openai",
    "model": "gpt-image-1.5",
    "revision": "unversioned",
    "license": "OpenAI Services Agreement",
    "terms": "https://openai.com/policies/services-agreement/",
    "enabled": True,
    "on_request": False,
    "lifecycle": {
        "state": "deprecated",
        "until": "2026-12-01",
        "since": None,
        "note": None,
        "successor": "gpt-image-2",
    },
    "warning": "GPT Image 1.5 will be switched off on 2026-12-01. Its successor is gpt-image-2.",
    "external": True,
    "seed": "no",
    "sizes": ["1024x1024", "1024x1536", "1536x1024"],
    "images_per_source": 4,
    "price_usd": None,
    "limits": {"timeout_seconds": 180.0, "max_prompt_chars": 32000, "concurrency": 8, "per_minute": None},
}
EVENTS = "".join(
    format_sse_event(event=event.name, data_str=event.data, id=str(event.seen)).decode()
    for event in events(_QUEUED, ReaderPosition())
)
