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

from app.api.accepted import REPLAYED, replayed_document
from app.api.dependencies import Admitted, Decoders, Intake, Once, Settings, Uploads, Waiting
from app.api.openapi import BATCH, CANCEL_AFTER, IDEMPOTENCY_KEY, REPLAYED_HEADER, Problem, headers, problems
from app.api.problems import STORAGE_ERRORS, storage_problem
from app.api.uploading import arriving, taking
from app.documents import Document, JobDocument
from app.errors import (
    InvalidRequest,
    KeyInUse,
    KeyReused,
    MalformedRequest,
    Overloaded,
    QuotaExceeded,
    ServiceError,
    StorageUnavailable,
    Unavailable,
    UnsupportedMediaType,
    UploadTimeout,
    UploadTooLarge,
)
from app.intake.idempotent_requests import Terms
from app.intake.json_body import ITEMS
from app.intake.options import mistake
from app.intake.request_body import receive_json
from app.intake.submission import from_json, read_cancel_after, read_idempotency_key
from app.settings import IntakeSettings

log = structlog.get_logger(__name__)

router = APIRouter(tags=["attribution"])

MAX_ITEMS = 100


class ItemDocument(Document):
    """What became of one item: as if it had been sent by itself, 202 and a job, or a problem with its status."""

    status: int = Field(examples=[202])
    job: JobDocument | None = None
    problem: Problem | None = Field(None, description="its pointers begin at the item")


class BatchDocument(Document):
    """What became of each item, in their order."""

    items: list[ItemDocument]


@router.post(
    "/attribute/batch",
    response_model=BatchDocument,
    response_description="each item was judged by itself; also 200 where all were refused",
    responses=headers(200, REPLAYED_HEADER)
    | problems(
        MalformedRequest,
        UploadTimeout,
        KeyInUse,
        UploadTooLarge,
        UnsupportedMediaType,
        InvalidRequest,
        KeyReused,
        Overloaded,
        StorageUnavailable,
    ),
    openapi_extra={"parameters": [CANCEL_AFTER, IDEMPOTENCY_KEY], "requestBody": BATCH},
)
async def attribute_batch(
    request: Request,
    caller: Admitted,
    settings: Settings,
    intake: Intake,
    decoders: Decoders,
    once: Once,
    uploads: Uploads,
    waiting: Waiting,
) -> Response:
    """Ask about several images at once. Each item is what POST /attribute takes as JSON, and is answered by itself.

    Sent again with the same `Idempotency-Key`, items that were accepted keep their jobs, and the others are tried once
    more. After an item that met a 503 or 429 the rest is not tried.
    """
    terms = Terms(
        tenant_id=caller.tenant_id,
        endpoint="POST /attribute/batch",
        key=read_idempotency_key(request.headers.getlist("idempotency-key")),
        cancel_after=read_cancel_after(request.headers.get("cancel-after")),
    )
    with taking(uploads, request.headers) as folder:
        body = folder / "body"
        with arriving(settings.intake.upload_timeout):
            await receive_json(request.headers, request.receive, body, settings.intake.max_batch_bytes)
        fingerprint = await to_thread.run_sync(_fingerprint, terms, body)
        items = _items(await decoders.unpack_json(body))
        batch = _Batch(once, waiting, terms, request.url.path, settings.intake)
        try:
            async with once.batch(terms, fingerprint):
                answers = [await batch.answer(number, item) for number, item in enumerate(items)]
        finally:
            intake.enqueue(batch.accepted)
    fields = {REPLAYED: "true"} if batch.replayed and not batch.accepted else {}
    return Response(json.dumps({"items": answers}, ensure_ascii=False), 200, fields, "application/json")


class _Batch:
    """A batch being worked through, item by item."""

    def __init__(self, once: Once, waiting: Waiting, terms: Terms, path: str, limits: IntakeSettings) -> None:
        self.accepted: list[JobDocument] = []
        self.replayed = 0
        self._once = once
        self._waiting = waiting
        self._terms = terms
        self._path = path
        self._limits = limits
        self._away: Unavailable | QuotaExceeded | None = None

    async def answer(self, number: int, item: Any) -> dict[str, Any]:
        """The answer to one item. What each item holds of a batch's key is a key of its own."""
        key = self._terms.key and f"{self._terms.key}\n{number}"
        try:
            if self._away is not None:
                raise self._away
            submission = from_json(item, self._limits)
            job = await self._once.accept(replace(self._terms, key=key), submission)
            if isinstance(job, JobDocument):
                self.accepted.append(job)
                log.info("job_accepted", job_id=str(job.id))
                return {"status": 202, "job": job.model_dump(mode="json")}
            document = await replayed_document(self._waiting, self._terms.tenant_id, job)
            self.replayed += 1
            return {"status": job.status, "job": json.loads(document)}
        except STORAGE_ERRORS as error:
            self._away = storage_problem(error)
            return self._refused(self._away)
        except ServiceError as error:
            self._away = error if isinstance(error, Unavailable | QuotaExceeded) else None
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
        raise InvalidRequest("The batch cannot be taken as it is; `errors` lists why.", errors=mistakes)
    return list(value[ITEMS])


def _fingerprint(terms: Terms, body: Path) -> str:
    """Of a whole batch as it came: who retries sends the same bytes."""
    after = terms.cancel_after and terms.cancel_after.total_seconds()
    digest = hashlib.sha256(f"{terms.endpoint} {after}\n".encode())
    with body.open("rb") as file:
        return hashlib.file_digest(file, lambda: digest).hexdigest()
