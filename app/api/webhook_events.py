"""The requests that receivers get, for the OpenAPI document's `webhooks`; nothing here answers anything."""

from typing import Annotated

from fastapi import APIRouter, FastAPI, Header

from app.api.openapi import Responses
from app.webhooks.events import (
    PING,
    CompletedData,
    EventType,
    FailedData,
    JobData,
    PingData,
    SourceFinishedData,
    WebhookEvent,
)

_DATA: dict[str, type[JobData] | type[PingData]] = {
    EventType.STARTED: JobData,
    EventType.SOURCE_FINISHED: SourceFinishedData,
    EventType.COMPLETED: CompletedData,
    EventType.FAILED: FailedData,
    EventType.CANCELED: JobData,
    PING: PingData,
}
_RESPONSES: Responses = {
    "410": {"description": "never send anything here again: the endpoint is switched off"},
    "default": {"description": "not taken, redirects among it: tried again, not before what `Retry-After` says"},
}


def describe_events(app: FastAPI) -> None:
    """Adds an operation per type of event, signed as Standard Webhooks 1.0 has it."""
    for kind, data in _DATA.items():
        _add(app.webhooks, kind, data)


def _add(router: APIRouter, kind: str, data: type[JobData] | type[PingData]) -> None:
    def receive(
        body: WebhookEvent[data],  # type: ignore[valid-type]
        webhook_id: Annotated[str, Header(description="the same for every attempt: whoever has seen it is done")],
        webhook_timestamp: Annotated[int, Header(description="of the attempt, in seconds since 1970")],
        webhook_signature: Annotated[str, Header(description="`v1,` and base64; two of them during a rotation")],
    ) -> None:
        pass

    receive.__doc__ = data.__doc__
    router.post(
        kind,
        summary=kind,
        status_code=204,
        response_description="taken, as any 2xx is",
        responses=_RESPONSES,
        tags=["webhooks"],
    )(receive)
