"""POST /attribute/batch: up to a hundred images in one request, each accepted or refused by itself."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog
from anyio import to_thread
from fastapi import APIRouter, Request, Response
from pydantic import Field

from app.api.dependencies import (
    Admitted,
    Decoders,
    IdempotentRequests,
    Intake,
    LongPolling,
    Settings,
    UploadSlots,
)
from app.api.job_responses import REPLAYED, JobReader
from app.api.openapi import CANCEL_AFTER, IDEMPOTENCY_KEY, REPLAYED_HEADER, UPLOAD, Problem, headers, problems
from app.api.openapi_bodies import BATCH
from app.api.problems import STORAGE_ERRORS, storage_problem
from app.api.request_bodies import upload_deadline, upload_slot
from app.document_base import Document
from app.documents import JobDocument
from app.errors import (
    InvalidRequest,
    KeyInUse,
    KeyReused,
    QuotaExceeded,
    ServiceError,
    Unavailable,
)
from app.intake.idempotent_requests import Terms
from app.intake.json_body import ITEMS
from app.intake.options import mistake
from app.intake.request_body import receive_json
from app.intake.submission import from_json
from app.settings import IntakeSettings

log = structlog.get_logger(__name__)

router = APIRouter(tags=["attribution"])

MAX_ITEMS = 100


class ItemDocument(Document):
    """The outcome of one item, as if it had been sent by itself: 202 and a job, or a problem with its status."""

    status: int = Field(examples=[202])
    job: JobDocument | None = None
    problem: Problem | None = Field(None, description="its pointers are relative to the item")


class BatchDocument(Document):
    """The outcome of each item, in their order."""

    items: list[ItemDocument]


@router.post(
    "/attribute/batch",
    response_model=BatchDocument,
    response_description="an outcome for each item; also 200 where all were refused",
    responses=headers(200, REPLAYED_HEADER) | problems(*UPLOAD, KeyInUse, KeyReused),
    openapi_extra={"parameters": [CANCEL_AFTER, IDEMPOTENCY_KEY], "requestBody": BATCH},
)
async def attribute_batch(
    request: Request,
    caller: Admitted,
    settings: Settings,
    intake: Intake,
    decoders: Decoders,
    idempotent_requests: IdempotentRequests,
    slots: UploadSlots,
    long_polling: LongPolling,
) -> Response:
    """Submit several images at once. Each item is the JSON that POST /attribute takes, and has a response of its own.

    Repeated with the same `Idempotency-Key`, items that were accepted keep their jobs, and the others are tried again.
    After an item with a 503 or 429 the remaining ones are not tried.
    """
    terms = Terms.of(caller.tenant_id, "POST /attribute/batch", request.headers)
    with upload_slot(slots, request.headers) as folder:
        body = folder / "body"
        with upload_deadline(settings.intake.upload_timeout):
            await receive_json(request.headers, request.receive, body, settings.intake.max_batch_bytes)
        fingerprint = await to_thread.run_sync(_fingerprint, terms, body)
        items = _items(await decoders.unpack_json(body))
        batch = _Batch(idempotent_requests, long_polling.reader, terms, request.url.path, settings.intake)
        try:
            async with idempotent_requests.batch(terms, fingerprint):
                outcomes = [await batch.submit(number, item) for number, item in enumerate(items)]
        finally:
            intake.enqueue(batch.accepted)
    fields = {REPLAYED: "true"} if batch.replayed and not batch.accepted else {}
    return Response(json.dumps({"items": outcomes}, ensure_ascii=False), 200, fields, "application/json")


class _Batch:
    """A batch whose items are submitted one by one."""

    def __init__(
        self,
        idempotent_requests: IdempotentRequests,
        reader: JobReader,
        terms: Terms,
        path: str,
        limits: IntakeSettings,
    ) -> None:
        self.accepted: list[JobDocument] = []
        self.replayed = 0
        self._idempotent_requests = idempotent_requests
        self._reader = reader
        self._terms = terms
        self._path = path
        self._limits = limits
        self._unavailable: Unavailable | QuotaExceeded | None = None

    async def submit(self, number: int, item: Any) -> dict[str, Any]:
        """The outcome of one item. Its idempotency key is derived from the batch's."""
        key = self._terms.key and f"{self._terms.key}\n{number}"
        try:
            if self._unavailable is not None:
                raise self._unavailable
            submission = from_json(item, self._limits)
            job = await self._idempotent_requests.accept(replace(self._terms, key=key), submission)
            if isinstance(job, JobDocument):
                self.accepted.append(job)
                log.info("job_accepted", job_id=str(job.id))
                return {"status": 202, "job": job.model_dump(mode="json")}
            document = await self._reader.read_replayed(self._terms.tenant_id, job)
            self.replayed += 1
            return {"status": job.status, "job": json.loads(document)}
        except STORAGE_ERRORS as error:
            self._unavailable = storage_problem(error)
            return self._refused(self._unavailable)
        except ServiceError as error:
            self._unavailable = error if isinstance(error, Unavailable | QuotaExceeded) else None
            return self._refused(error)

    def _refused(self, error: ServiceError) -> dict[str, Any]:
        return {"status": error.status, "problem": error.document(instance=self._path)}


def _items(value: Any) -> list[Any]:
    """The items of an unpacked body. Raises InvalidRequest."""
    mistakes = []
    if not isinstance(value, dict):
        mistakes.append({"detail": "must be an object", "pointer": "#"})
    else:
        mistakes += [mistake(name, "There is no such member.") for name in value.keys() - {ITEMS}]
        items = value.get(ITEMS)
        if not isinstance(items, list) or not 1 <= len(items) <= MAX_ITEMS:
            mistakes.append(mistake(ITEMS, f"must be a list of 1 to {MAX_ITEMS} objects"))
    if mistakes:
        raise InvalidRequest("The batch is invalid; `errors` lists why.", errors=mistakes)
    return list(value[ITEMS])


def _fingerprint(terms: Terms, body: Path) -> str:
    """Of the bytes of a whole batch: a retry sends the same ones."""
    after = terms.cancel_after and terms.cancel_after.total_seconds()
    digest = hashlib.sha256(f"{terms.endpoint} {after}\n".encode())
    with body.open("rb") as file:
        return hashlib.file_digest(file, lambda: digest).hexdigest()
