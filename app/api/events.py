"""GET /attribute/{id}/events: a job's progress as server-sent events, until it has ended.

Any process can continue the stream of another: the events follow from the job's document and from `Last-Event-ID`.
"""

import json
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Annotated

from anyio import current_time
from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from sqlalchemy.exc import SQLAlchemyError

from app.api.dependencies import Keyring, LongPolling, Reader, Settings
from app.api.openapi import EVENT_STREAM, problems
from app.documents import JobDocument
from app.errors import Deleted, InvalidKey, NotAcceptable, NotFound, Overloaded, StorageUnavailable
from app.jobs.progress import ReaderPosition, events
from app.jobs.snapshots import is_unfinished
from app.settings import LongPollingSettings

router = APIRouter(tags=["attribution"])

_MEDIA_TYPE = "text/event-stream"
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}  # the latter keeps proxies from buffering the stream
_HEARTBEAT = b":\n\n"
_REFUSED = re.compile(r"\s*q\s*=\s*0(\.0*)?\s*", re.IGNORECASE)


async def take_watcher_slot(caller: Reader, long_polling: LongPolling) -> AsyncIterator[None]:
    """A slot for a watcher, until the stream has ended or its client has disconnected. Raises Overloaded."""
    with long_polling.watchers.take(caller.tenant_id) as taken:
        if not taken:
            raise Overloaded("Too many streams are open; poll instead, or try again.", headers={"Retry-After": "5"})
        yield


@router.get(
    "/attribute/{job_id:uuid}/events",
    response_class=StreamingResponse,
    responses=EVENT_STREAM | problems(NotFound, NotAcceptable, Deleted, Overloaded),
    dependencies=[Depends(take_watcher_slot)],
)
async def get_events(
    job_id: uuid.UUID,
    request: Request,
    caller: Reader,
    settings: Settings,
    long_polling: LongPolling,
    keyring: Keyring,
    last_event_id: Annotated[str, Header(description="the id of the last event that was received")] = "",
) -> Response:
    """Follow a job: `stage`, `source`, and at the end `completed`, `failed` or `canceled` with the job's document.

    A stream may end before the job does. After that, or after a broken connection, `Last-Event-ID` continues behind
    that event; 204 means that it was the last one. If the job is deleted meanwhile, the event `deleted` ends the
    stream; `unauthorized` does if the key is revoked or expires.
    """
    if not accepts(request.headers.get("accept", ""), _MEDIA_TYPE):
        raise NotAcceptable(f"Events come as {_MEDIA_TYPE}; GET /attribute/{job_id} gives the job as JSON.")
    document = await long_polling.reader.read(caller.tenant_id, job_id)
    seen = ReaderPosition.parse(last_event_id)
    if seen.ended:
        if not is_unfinished(document):
            return Response(status_code=204)
        seen = ReaderPosition()  # the end of another job
    still_valid = partial(keyring.identify, request.headers.get("authorization"))
    stream = _stream(long_polling, still_valid, caller.tenant_id, job_id, document, seen, settings.long_polling)
    return StreamingResponse(stream, media_type=_MEDIA_TYPE, headers=_HEADERS)


async def _stream(
    long_polling: LongPolling,
    still_valid: Callable[[], Awaitable[object]],
    tenant_id: uuid.UUID,
    job_id: uuid.UUID,
    document: bytes,
    seen: ReaderPosition,
    settings: LongPollingSettings,
) -> AsyncIterator[bytes]:
    sent: bytes | None = None
    last_sent_at = current_time()
    ends_at = last_sent_at + settings.stream_lifetime.total_seconds()
    heartbeat = settings.heartbeat.total_seconds()
    with long_polling.expected(job_id) as ended:
        while True:
            if document != sent:
                for event in events(JobDocument.model_validate_json(document), seen):
                    seen, last_sent_at = event.seen, current_time()
                    yield format_sse_event(event=event.name, data_str=event.data, id=str(seen))
                sent = document
            if seen.ended or long_polling.stopping or current_time() >= ends_at:
                return
            await long_polling.pause(ended)
            try:
                await still_valid()
                document = await long_polling.reader.read(tenant_id, job_id)
            except (Deleted, NotFound) as error:
                yield format_sse_event(event="deleted", data_str=json.dumps(error.document()))
                return
            except InvalidKey as error:
                yield format_sse_event(event="unauthorized", data_str=json.dumps(error.document()))
                return
            except (SQLAlchemyError, StorageUnavailable):
                pass  # neither Redis nor Postgres responds: there is nothing to send until one does
            if current_time() - last_sent_at >= heartbeat:
                last_sent_at = current_time()
                yield _HEARTBEAT


def accepts(given: str, media_type: str) -> bool:
    """Whether an `Accept` header allows the media type: the closest range that covers it decides (RFC 9110, 12.5.1)."""
    if not given.strip():
        return True
    taken = {}
    for part in given.split(","):
        name, *parameters = part.split(";")
        taken[name.strip().lower()] = not any(map(_REFUSED.fullmatch, parameters))
    ranges = (media_type, media_type.split("/")[0] + "/*", "*/*")
    return next((taken[each] for each in ranges if each in taken), False)
