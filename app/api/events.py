"""GET /attribute/{id}/events: a job's progress as server-sent events, until it has ended.

Any process can go on where another stopped: what is told follows from the job as it stands and from `Last-Event-ID`.
"""

import json
import re
import uuid
from collections.abc import AsyncIterator
from typing import Annotated

from anyio import current_time
from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from sqlalchemy.exc import SQLAlchemyError

from app.api.dependencies import Reader, Settings, Waiting
from app.api.openapi import EVENT_STREAM, problems
from app.documents import JobDocument, is_unfinished
from app.errors import Deleted, NotAcceptable, NotFound, Overloaded, StorageUnavailable
from app.jobs.progress import ReaderPosition, events

router = APIRouter(tags=["attribution"])

_MEDIA_TYPE = "text/event-stream"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the latter keeps proxies from collecting it
_HEARTBEAT = b":\n\n"
_NOT_AT_ALL = re.compile(r"\s*q\s*=\s*0(\.0*)?\s*", re.IGNORECASE)


async def get_place(waiting: Waiting) -> AsyncIterator[None]:
    """A place among those who watch, until the answer has been sent or its reader is gone."""
    with waiting.watchers.take() as placed:
        if not placed:
            raise Overloaded("Too many streams are open; poll instead, or try again.", headers={"Retry-After": "5"})
        yield


@router.get(
    "/attribute/{job_id:uuid}/events",
    response_class=StreamingResponse,
    responses=EVENT_STREAM | problems(NotFound, NotAcceptable, Deleted, Overloaded, StorageUnavailable),
    dependencies=[Depends(get_place)],
)
async def get_events(
    job_id: uuid.UUID,
    request: Request,
    caller: Reader,
    settings: Settings,
    waiting: Waiting,
    last_event_id: Annotated[str, Header(description="the id of the last event that was received")] = "",
) -> Response:
    """Follow a job: `stage`, `source`, and at the end `completed`, `failed` or `canceled` with the job's document.

    After a broken connection `Last-Event-ID` goes on behind that event; 204 says that it was the last one. Should the
    job be deleted meanwhile, the event `deleted` ends the stream.
    """
    if not accepts(request.headers.get("accept", ""), _MEDIA_TYPE):
        raise NotAcceptable(f"Events come as {_MEDIA_TYPE}; GET /attribute/{job_id} gives the job as JSON.")
    document = await waiting.answers.read(caller.tenant_id, job_id)
    seen = ReaderPosition.parse(last_event_id)
    if seen.ended:
        if not is_unfinished(document):
            return Response(status_code=204)
        seen = ReaderPosition()  # the end of another job
    heartbeat = settings.waiting.heartbeat.total_seconds()
    stream = _stream(waiting, caller.tenant_id, job_id, document, seen, heartbeat)
    return StreamingResponse(stream, media_type=_MEDIA_TYPE, headers=_HEADERS)


async def _stream(
    waiting: Waiting, tenant_id: uuid.UUID, job_id: uuid.UUID, document: bytes, seen: ReaderPosition, heartbeat: float
) -> AsyncIterator[bytes]:
    told: bytes | None = None
    spoke = current_time()
    with waiting.expected(job_id) as ended:
        while True:
            if document != told:
                for event in events(JobDocument.model_validate_json(document), seen):
                    seen, spoke = event.seen, current_time()
                    yield format_sse_event(event=event.name, data_str=event.data, id=str(seen))
                told = document
            if seen.ended or waiting.stopping:
                return
            await waiting.pause(ended)
            try:
                document = await waiting.answers.read(tenant_id, job_id)
            except (Deleted, NotFound) as error:
                yield format_sse_event(event="deleted", data_str=json.dumps(error.document()))
                return
            except SQLAlchemyError:
                pass  # neither Redis nor Postgres answers: there is nothing to tell until they do
            if current_time() - spoke >= heartbeat:
                spoke = current_time()
                yield _HEARTBEAT


def accepts(given: str, media_type: str) -> bool:
    """Whether an `Accept` header takes the media type: the closest range that covers it decides (RFC 9110, 12.5.1)."""
    if not given.strip():
        return True
    taken = {}
    for part in given.split(","):
        name, *parameters = part.split(";")
        taken[name.strip().lower()] = not any(map(_NOT_AT_ALL.fullmatch, parameters))
    ranges = (media_type, media_type.split("/")[0] + "/*", "*/*")
    return next((taken[each] for each in ranges if each in taken), False)
