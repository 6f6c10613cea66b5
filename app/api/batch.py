"""POST /attribute/batch: up to a hundred images in one request, each accepted or refused by itself."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog
from anyio import current_time, fail_after, to_thread
from fastapi import APIRouter, Request, Response
from pydantic import Field

from app.access.identity import Identity
from app.access.volumes import DailyVolumes
from app.api.authentication import count_request
from app.api.dependencies import (
    Admitted,
    Decoders,
    IdempotentRequests,
    Intake,
    LongPolling,
    Settings,
    UploadSlots,
    Volumes,
)
from app.api.job_responses import REPLAYED, JobReader
from app.api.openapi import CANCEL_AFTER, IDEMPOTENCY_KEY, REPLAYED_HEADER, UPLOAD, Problem, headers, problems
from app.api.openapi_bodies import BATCH
from app.api.problems import STORAGE_ERRORS, storage_problem
from app.api.request_bodies import upload_slot, while_connected
from app.document_base import Document
from app.documents import JobDocument
from app.errors import (
    InvalidRequest,
    KeyInUse,
    KeyReused,
    Overloaded,
    QuotaExceeded,
    ServiceError,
    Unavailable,
)
from app.intake.idempotent_requests import Terms
from app.intake.json_body import ITEMS
from app.intake.options import mistake
from app.intake.request_body import receive_json
from app.intake.submission import Submission, from_json
from app.jobs.idempotency import StoredResponse
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
    volumes: Volumes,
) -> Response:
    """Submit several images at once. Each item is the JSON that POST /attribute takes, and has a response of its own.

    Repeated with the same `Idempotency-Key`, items that were accepted keep their jobs, and the others are tried again.
    After an item with a 503 or 429 the remaining ones are not tried. Each item counts as a request of the key.
    """
    terms = Terms.of(caller.tenant_id, "POST /attribute/batch", request.headers)
    limits = settings.intake
    with upload_slot(slots, caller.tenant_id, request.headers) as folder:
        body = folder / "body"
        await receive_json(request.headers, request.receive, body, limits.max_batch_bytes, limits)
        fingerprint = await to_thread.run_sync(_fingerprint, terms, body)
        batch = _Batch(idempotent_requests, long_polling.reader, terms, request, limits, volumes, caller)
        try:
            async with while_connected(request):
                items = _items(await decoders.unpack_json(caller.tenant_id, body))
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
        request: Request,
        limits: IntakeSettings,
        volumes: DailyVolumes,
        caller: Identity,
    ) -> None:
        self.accepted: list[JobDocument] = []
        self.replayed = 0
        self._idempotent_requests = idempotent_requests
        self._reader = reader
        self._terms = terms
        self._request = request
        self._ends_at = current_time() + limits.batch_timeout.total_seconds()
        self._limits = limits
        self._volumes = volumes
        self._caller = caller
        self._unavailable: Unavailable | QuotaExceeded | None = None

    async def submit(self, number: int, item: Any) -> dict[str, Any]:
        """The outcome of one item. Its idempotency key is derived from the batch's."""
        key = self._terms.key and f"{self._terms.key}\n{number}"
        try:
            if self._unavailable is not None:
                raise self._unavailable
            if number > 0:  # the first is the request itself
                await count_request(self._request)
            submission = from_json(item, self._limits)
            await self._volumes.check(self._caller)
            job = await self._accept(replace(self._terms, key=key), submission)
            if isinstance(job, JobDocument):
                self.accepted.append(job)
                self._volumes.add(self._caller.tenant_id, jobs=1)
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

    async def _accept(self, terms: Terms, submission: Submission) -> JobDocument | StoredResponse:
        """As `IdempotentRequests.accept`, within what is left of the batch's time; else raises Overloaded."""
        left = self._ends_at - current_time()
        try:
            if left <= 0:
                raise TimeoutError
            with fail_after(left):
                return await self._idempotent_requests.accept(terms, submission)
        except TimeoutError as error:
            raise Overloaded(
                "The batch has taken too long. Send what is left again; with the same Idempotency-Key the whole batch.",
                headers={"Retry-After": "5"},
            ) from error

    def _refused(self, error: ServiceError) -> dict[str, Any]:
        return {"status": error.status, "problem": error.document(instance=self._request.url.path)}


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
