"""The types of events and their payloads, built from rows; each below 20 kB.

Everything of unknown length is cut or bounded here or by intake, so that no job can have an event that is too long.
"""

import uuid
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BeforeValidator, Field

from app.db.models import Job, JobSource, JobStatus, WebhookEndpoint
from app.document_base import Document
from app.documents import ResultDocument
from attribution.ports import Origin, Reason, SourceState, VerdictKind

# Standard Webhooks recommends at most this.
MAX_PAYLOAD_BYTES = 20_000
HEAD = 3
_NAME = 200
_SENTENCE = 500


class EventType(StrEnum):
    """The events of a job."""

    STARTED = "attribution.started"
    SOURCE_FINISHED = "attribution.source_finished"
    COMPLETED = "attribution.completed"
    FAILED = "attribution.failed"
    CANCELED = "attribution.canceled"


PING = "webhook.ping"
ENDPOINT_DISABLED = "webhook.disabled"


def _cut(length: int) -> BeforeValidator:
    return BeforeValidator(lambda value: value[:length] if isinstance(value, str) else value)


Name = Annotated[str, _cut(_NAME)]
Sentence = Annotated[str, _cut(_SENTENCE)]


class LinksData(Document):
    """Where to read on; paths, relative to the API's address."""

    job: str = Field(examples=["/attribute/019b7c3e-5d08-7a51-9c0e-2f4f1f0f6a11"])


class JobData(Document):
    """What every event of a job says."""

    id: uuid.UUID = Field(description="of the job")
    sequence: int = Field(description="counts the events of this job for this receiver, from 1, without gaps")
    status: JobStatus
    external_id: str | None = Field(description="as the caller gave it")
    metadata: dict[str, Any] | None = Field(description="as the caller gave it")
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    links: LinksData


class SourceOutcomeData(Document):
    """How one source ended."""

    source: Name
    family: Name
    origin: Origin
    state: SourceState
    reason: Sentence | None


class SourceFinishedData(JobData):
    """One source of the job has ended, with generated images or without."""

    source: SourceOutcomeData


class VerdictData(Document):
    """The answer: a source, or why none is named."""

    kind: VerdictKind
    source: Name | None
    reason: Reason | None


class RankedData(Document):
    """A tested source's place in the ranking."""

    source: Name
    family: Name
    origin: Origin
    distance: float
    score: float


class CompletedData(JobData):
    """The job has its answer; the whole of it is at `links.job`."""

    verdict: VerdictData
    ranking: list[RankedData] = Field(description=f"its head: the nearest {HEAD} at most", max_length=HEAD)
    tested: int = Field(description="sources in the whole ranking")
    margin: float | None
    calibrated: bool


class ErrorData(Document):
    """The problem that ended the job."""

    type: Name
    title: Name
    status: int
    detail: Sentence


class FailedData(JobData):
    """The job ended without an answer."""

    error: ErrorData


class PingData(Document):
    """A test that the caller requested."""

    sequence: int
    endpoint: uuid.UUID


class EndpointDisabledData(Document):
    """An endpoint of the tenant was disabled because of how it responded."""

    sequence: int
    endpoint: uuid.UUID
    url: str
    reason: Sentence


Data = TypeVar("Data", bound=JobData | PingData | EndpointDisabledData, covariant=True)


class WebhookEvent(Document, Generic[Data]):
    """A payload as Standard Webhooks shapes it."""

    type: str
    timestamp: datetime = Field(description="of what happened; that of the attempt is in the header")
    data: Data

    def payload(self, sequence: int) -> str:
        """The very text that is signed and sent, for the receiver whose `sequence` this is."""
        data = self.data.model_copy(update={"sequence": sequence})
        return self.model_copy(update={"data": data}).model_dump_json()


def started(job: Job) -> WebhookEvent[JobData]:
    """A worker has claimed the job's first stage."""
    return WebhookEvent[JobData](type=EventType.STARTED, timestamp=_time(job.started_at), data=JobData(**_of(job)))


def source_finished(job: Job, row: JobSource) -> WebhookEvent[SourceFinishedData]:
    """A source has ended while the job continues."""
    data = SourceFinishedData(**_of(job), source=SourceOutcomeData.model_validate(row))
    return WebhookEvent[SourceFinishedData](
        type=EventType.SOURCE_FINISHED, timestamp=_time(row.completed_at), data=data
    )


def ended(job: Job) -> WebhookEvent[JobData]:
    """The job has reached its end, whichever."""
    at = _time(job.completed_at)
    match JobStatus(job.status):
        case JobStatus.SUCCEEDED:
            return WebhookEvent[CompletedData](type=EventType.COMPLETED, timestamp=at, data=_completed(job))
        case JobStatus.FAILED:
            return WebhookEvent[FailedData](type=EventType.FAILED, timestamp=at, data=_failed(job))
        case _:
            return WebhookEvent[JobData](type=EventType.CANCELED, timestamp=at, data=JobData(**_of(job)))


def ping(endpoint_id: uuid.UUID, at: datetime) -> WebhookEvent[PingData]:
    """A test of whether the endpoint answers and verifies."""
    return WebhookEvent[PingData](type=PING, timestamp=at, data=PingData(sequence=1, endpoint=endpoint_id))


def endpoint_disabled(endpoint: WebhookEndpoint) -> WebhookEvent[EndpointDisabledData]:
    """An endpoint was disabled; its owner's other endpoints get this."""
    data = EndpointDisabledData(
        sequence=1, endpoint=endpoint.id, url=endpoint.url, reason=endpoint.disabled_reason or ""
    )
    return WebhookEvent[EndpointDisabledData](type=ENDPOINT_DISABLED, timestamp=_time(endpoint.disabled_at), data=data)


def _of(job: Job) -> Mapping[str, Any]:
    return {
        "id": job.id,
        "sequence": 0,
        "status": job.status,
        "external_id": job.external_id,
        "metadata": job.labels,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "completed_at": job.completed_at,
        "links": LinksData(job=f"/attribute/{job.id}"),
    }


def _completed(job: Job) -> CompletedData:
    result = ResultDocument.model_validate(job.result)
    return CompletedData(
        **_of(job),
        verdict=VerdictData.model_validate(result.verdict),
        ranking=[RankedData.model_validate(entry) for entry in result.ranking[:HEAD]],
        tested=len(result.ranking),
        margin=result.margin,
        calibrated=result.calibrated,
    )


def _failed(job: Job) -> FailedData:
    problem = job.error or {}
    error = ErrorData.model_validate({name: problem.get(name) for name in ErrorData.model_fields})
    return FailedData(**_of(job), error=error)


def _time(of: datetime | None) -> datetime:
    assert of is not None  # what has happened has a time
    return of
