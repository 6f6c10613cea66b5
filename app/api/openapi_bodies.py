"""The request bodies in the OpenAPI document, which are parsed by hand, and the examples of jobs, events and sources.

Examples are built as the documents themselves, so that they cannot go out of date.
"""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi.sse import format_sse_event

from app.db.models import RESULT_SCHEMA_VERSION, JobStatus, Stage
from app.documents import (
    JobDocument,
    RankedDocument,
    ResultDocument,
    SourceDocument,
    SpendDocument,
    ThresholdDocument,
    VerdictDocument,
)
from app.image_documents import ImageDocument
from app.intake.json_body import IMAGE_URL, REFERENCES
from app.intake.multipart import IMAGE_FIELD, REFERENCE_FIELD
from app.intake.options import Options
from app.intake.submission import MAX_URL
from app.jobs.progress import ReaderPosition, events
from attribution.ports import MOST_REFERENCES, Aggregate, DistanceName, SourceState, VerdictKind

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
        model=f"zoo/models/{name.removeprefix('zoo-')}",
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
    sources=[_source("zoo-unet", "zoo-unet", generated=False), _source("zoo-dit", "zoo-dit", generated=False)],
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
        "sources": [_source("zoo-unet", "zoo-unet", generated=True), _source("zoo-dit", "zoo-dit", generated=True)],
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
                RankedDocument(source="zoo-dit", family="zoo-dit", distance=0.11, score=0.52, distances=[0.1, 0.12]),
                RankedDocument(source="zoo-unet", family="zoo-unet", distance=0.19, score=0.48, distances=[0.2, 0.18]),
            ],
            margin=0.08,
            verdict=VerdictDocument(
                kind=VerdictKind.ATTRIBUTED,
                source="zoo-dit",
                reason=None,
                threshold=ThresholdDocument(max_distance=0.15, min_margin=0.02, measured={"images": 200}),
            ),
        ),
    }
)

JOB: dict[int, dict[str, Any]] = {202: _QUEUED.model_dump(mode="json"), 200: _SUCCEEDED.model_dump(mode="json")}
# As a dictionary: the module that defines its document imports this one.
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

REF = "#/components/schemas/{model}"


def _options() -> dict[str, Any]:
    schema = Options.model_json_schema(ref_template=REF)
    schema.pop("$defs")  # they are components already, through the webhooks' documents
    return schema


_FORMATS = "PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF"
_FILE: dict[str, Any] = {"type": "string", "format": "binary", "description": _FORMATS}
_BASE64: dict[str, Any] = {
    "type": "string",
    "pattern": r"^\s{0,9}(data:[^,]{0,200};base64\s{0,9},)?[A-Za-z0-9+/_\s-]*[=\s]*$",
    "description": f"{_FORMATS} in base64, with line breaks or the alphabet of URLs if need be, or a data: URL of that",
}
_UPLOADED = "images that you generated with this source, of the text in `prompt`, which is required then"


def _references(each: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": each, "minItems": 1, "maxItems": MOST_REFERENCES}


def _form_schema() -> dict[str, Any]:
    schema = _options()
    schema["properties"] = {IMAGE_FIELD: _FILE} | {
        name: _without_null(value) for name, value in schema["properties"].items()
    }
    per_source = rf"^{REFERENCE_FIELD}\[[a-z0-9][a-z0-9._-]{{0,63}}\]$"
    schema["patternProperties"] = {per_source: _references(_FILE) | {"description": _UPLOADED}}
    schema["required"] = [IMAGE_FIELD]
    return schema


def _json_schema() -> dict[str, Any]:
    schema = _options()
    references = {
        "anyOf": [{"type": "object", "additionalProperties": _references(_BASE64)}, {"type": "null"}],
        "default": None,
        "description": f"by source, {_UPLOADED}",
    }
    address = {
        "type": "string",
        "maxLength": MAX_URL,
        "description": "a public http or https address, which a worker fetches; errors are then those of the job",
        "examples": ["https://images.example/1.png"],
    }
    schema["properties"] = {
        IMAGE_FIELD: _BASE64,
        IMAGE_URL: address,
        REFERENCES: references,
    } | schema["properties"]
    schema["oneOf"] = [{"required": [IMAGE_FIELD]}, {"required": [IMAGE_URL]}]
    return schema


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A form has no null: an option is omitted instead."""
    variants = [variant for variant in schema.pop("anyOf", []) if variant.get("type") != "null"]
    if schema.get("default", ...) is None:
        del schema["default"]
    return (variants[0] if variants else {}) | schema


FORM_SCHEMA, JSON_SCHEMA = _form_schema(), _json_schema()
SUBMISSION: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": FORM_SCHEMA,
            # The default of the specification, given for clients that do not know it.
            "encoding": {name: {"contentType": "application/json"} for name in ("metadata", "external_scores")},
        },
        "application/json": {
            "schema": JSON_SCHEMA,
            "examples": {
                "address": {"value": {"image_url": "https://images.example/1.png", "external_id": "upload-4711"}},
                "base64": {"value": {"image": PIXEL, "prompt": "a single dot"}},
            },
        },
    },
}
REFERENCE_IMAGES: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {REFERENCE_FIELD: _references(_FILE)},
                "required": [REFERENCE_FIELD],
                "additionalProperties": False,
            }
        },
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {REFERENCES: _references(_BASE64)},
                "required": [REFERENCES],
                "additionalProperties": False,
            },
            "example": {REFERENCES: [DOTS, DOTS]},
        },
    },
}
BATCH: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {"items": {"type": "array", "items": JSON_SCHEMA, "minItems": 1, "maxItems": 100}},
                "required": ["items"],
                "additionalProperties": False,
            },
            "example": {"items": [{"image_url": "https://images.example/1.png"}, {"image": PIXEL}]},
        }
    },
}
