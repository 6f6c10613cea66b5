"""Payloads: their shape, and their size whatever a job holds."""

import json
import re
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from app.db.models import Job, JobSource, JobStatus
from app.errors import StepFailed
from app.intake.options import MAX_METADATA_BYTES, Options
from app.webhooks import events
from app.webhooks.events import MAX_PAYLOAD_BYTES, PING, EventType, WebhookEvent
from attribution.ports import Origin, SourceState

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
JOB_ID = uuid.UUID("019b7c3e-5d08-7a51-9c0e-2f4f1f0f6a11")


def result(sources: int = 2, name: str = "zoo-unet") -> dict[str, Any]:
    """A result document with so many ranked sources."""
    ranking = [
        {"source": f"{name}{n}", "family": name, "distance": 0.1 + n, "score": 0.5, "distances": [0.1] * 16}
        for n in range(sources)
    ]
    return {
        "schema_version": 1,
        "caption": "a person",
        "captioner": "blip@1",
        "embedder": "clip@1",
        "distance": "cosine",
        "images_per_source": 16,
        "quorum": 2,
        "temperature": 1.0,
        "calibrated": False,
        "ranking": ranking,
        "margin": 1.0,
        "verdict": {"kind": "attributed", "source": ranking[0]["source"], "reason": None, "threshold": None},
    }


def make_job(status: JobStatus, **values: Any) -> Job:
    """A job's row as it would be read."""
    given = {"id": JOB_ID, "created_at": AT, "started_at": AT, "completed_at": AT, "external_id": "post-7"}
    return Job(status=status, **given | values)


def payload(event: WebhookEvent[Any], sequence: int = 1) -> dict[str, Any]:
    """The payload as a receiver parses it."""
    payload: dict[str, Any] = json.loads(event.payload(sequence))
    return payload


def test_a_completed_job_has_its_verdict_and_the_rankings_head():
    """What a moderation pipeline decides on, and where to read the rest."""
    stored = result(sources=7)
    stored["ranking"][1]["origin"] = "reference"
    job = make_job(JobStatus.SUCCEEDED, result=stored, labels={"queue": "avatars"})
    assert payload(events.ended(job), 9) == {
        "type": "attribution.completed",
        "timestamp": "2026-03-01T12:00:00Z",
        "data": {
            "id": str(JOB_ID),
            "sequence": 9,
            "status": "succeeded",
            "external_id": "post-7",
            "metadata": {"queue": "avatars"},
            "created_at": "2026-03-01T12:00:00Z",
            "started_at": "2026-03-01T12:00:00Z",
            "completed_at": "2026-03-01T12:00:00Z",
            "links": {"job": f"/attribute/{JOB_ID}"},
            "verdict": {"kind": "attributed", "source": "zoo-unet0", "reason": None},
            "ranking": [
                {
                    "source": f"zoo-unet{n}",
                    "family": "zoo-unet",
                    "origin": "reference" if n == 1 else "generator",
                    "distance": 0.1 + n,
                    "score": 0.5,
                }
                for n in range(3)
            ],
            "tested": 7,
            "margin": 1.0,
            "calibrated": False,
        },
    }


def test_a_failed_job_has_its_problem():
    """Type, title, status and the sentence; not what else the problem document may hold."""
    problem = StepFailed("It broke.", stack=["a", "b"]).document()
    data = payload(events.ended(make_job(JobStatus.FAILED, error=problem)))["data"]
    assert data["error"] == {
        "type": "/problems/step-failed",
        "title": "A stage failed",
        "status": 500,
        "detail": "It broke.",
    }


def test_a_source_has_its_state_and_reason():
    """While the job is being worked on."""
    row = JobSource(
        source="a", family="f", origin=Origin.REFERENCE, state=SourceState.TIMEOUT, reason="Too slow.", completed_at=AT
    )
    data = payload(events.source_finished(make_job(JobStatus.PROCESSING, completed_at=None), row))["data"]
    assert data["source"] == {
        "source": "a",
        "family": "f",
        "origin": "reference",
        "state": "timeout",
        "reason": "Too slow.",
    }
    assert (data["status"], data["completed_at"]) == ("processing", None)


@pytest.mark.parametrize(
    ("status", "values", "kind"),
    [
        (JobStatus.SUCCEEDED, {"result": result()}, EventType.COMPLETED),
        (JobStatus.FAILED, {"error": StepFailed("").document()}, EventType.FAILED),
        (JobStatus.CANCELED, {}, EventType.CANCELED),
    ],
)
def test_each_end_has_its_type(status: JobStatus, values: dict[str, Any], kind: EventType):
    """Succeeded is called completed, as others who send webhooks do."""
    assert payload(events.ended(make_job(status, **values)))["type"] == kind


def test_types_are_of_the_characters_that_the_specification_allows():
    """Letters, digits, underscores and full stops."""
    assert all(re.fullmatch(r"[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)+", kind) for kind in (*EventType, PING))


@pytest.mark.parametrize("letter", ["x", "😀", "\x01"], ids=["plain", "four bytes", "six bytes"])
def test_no_payload_is_too_long(letter: str):
    """With everything as long as it can be, in characters that JSON makes many bytes of."""
    long = letter * 100_000
    room = MAX_METADATA_BYTES - len('{"m":""}')
    metadata = {"m": letter * (room // len(json.dumps(letter, ensure_ascii=False)[1:-1].encode()))}
    assert Options(metadata=metadata)  # intake takes this, and no more
    given = {"labels": metadata, "external_id": letter * 200}
    row = JobSource(
        source=long, family=long, origin=Origin.REFERENCE, state=SourceState.ERROR, reason=long, completed_at=AT
    )
    problem = StepFailed(long).document() | {"title": long, "type": long}
    for event in (
        events.started(make_job(JobStatus.PROCESSING, **given)),
        events.source_finished(make_job(JobStatus.PROCESSING, **given), row),
        events.ended(make_job(JobStatus.SUCCEEDED, result=result(200, long), **given)),
        events.ended(make_job(JobStatus.FAILED, error=problem, **given)),
        events.ended(make_job(JobStatus.CANCELED, **given)),
    ):
        assert len(event.payload(10**9).encode()) < MAX_PAYLOAD_BYTES
