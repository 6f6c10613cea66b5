"""The OpenAPI document: what FastAPI cannot see by itself is added to it here.

Headers, problem documents and the effects of authentication; and the requests that webhook receivers get.
"""

import functools
import json
from collections.abc import Callable, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Header, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.routing import Route

from app.access.rates import Allowance, daily_policies, daily_remaining, policies, remaining
from app.api.openapi_bodies import EVENTS, JOB, REF, SOURCE
from app.errors import (
    ForeignPage,
    ImageTooLargeProblem,
    InsufficientScope,
    InvalidKey,
    InvalidRequest,
    MalformedRequest,
    Overloaded,
    QuotaExceeded,
    ServiceError,
    StorageUnavailable,
    Unauthenticated,
    UndecodableImageProblem,
    UnsupportedImageProblem,
    UnsupportedMediaType,
    UploadTimeout,
    UploadTooLarge,
)
from app.intake.submission import DURATION_PATTERN, KEY_PATTERN, MAX_KEY_LENGTH
from app.webhooks.events import (
    ENDPOINT_DISABLED,
    PING,
    CompletedData,
    EndpointDisabledData,
    EventType,
    FailedData,
    JobData,
    PingData,
    SourceFinishedData,
    WebhookEvent,
)

Responses = dict[int | str, dict[str, Any]]
_EXAMPLE = "#/components/examples/{slug}"

# Problems of endpoints that take a document, an upload, or images; and of every endpoint that needs a key.
DOCUMENT = (MalformedRequest, UploadTooLarge, InvalidRequest)
UPLOAD = (*DOCUMENT, UploadTimeout, UnsupportedMediaType, Overloaded)
IMAGE_UPLOAD = (*UPLOAD, UnsupportedImageProblem, UndecodableImageProblem, ImageTooLargeProblem)
_AUTHENTICATED = (Unauthenticated, InvalidKey, QuotaExceeded, StorageUnavailable)


class ProblemError(BaseModel):
    """One of several errors in a request."""

    model_config = ConfigDict(extra="forbid")

    detail: str
    pointer: str | None = Field(None, description="JSON pointer to the member of the body")
    parameter: str | None = Field(None, description="name of the path or query parameter")


class Problem(BaseModel):
    """An error (RFC 9457). `type` is stable, and GET on it explains it."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[ProblemError] | None = None


RETRY_AFTER: dict[str, Any] = {
    "Retry-After": {"description": "seconds after which to try again", "schema": {"type": "integer"}}
}
ANSWER_HEADERS: dict[str, Any] = RETRY_AFTER | {
    "ETag": {"description": "of the response's bytes, for `If-None-Match`", "schema": {"type": "string"}},
    "Vary": {"schema": {"type": "string"}, "example": "Prefer"},
    "Cache-Control": {"schema": {"type": "string"}, "example": "private, no-cache"},
    "Preference-Applied": {
        "description": "the preferences of `Prefer` that were honored (RFC 7240)",
        "schema": {"type": "string"},
        "example": "wait=30",
    },
}
PREFER: dict[str, Any] = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "example": "wait=30",
    "description": "`wait=n`: respond when the job has ended or after n seconds, 1 to 60; `wait` alone means 60",
}
CANCEL_AFTER: dict[str, Any] = {
    "name": "Cancel-After",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": DURATION_PATTERN},
    "example": "5m",
    "description": "after this time a job that has not ended is canceled: `90s`, `5m`, `1h30m`, or seconds; "
    "from 5 seconds to 24 hours",
}
IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": KEY_PATTERN},
    "example": '"8e03978e-40d5-43dd-bc93-6894a57f9324"',
    "description": "repeating a request with the same key creates nothing and has the first response again "
    "(draft-ietf-httpapi-idempotency-key-header-07); another request with the key is a 422, and one during the first "
    f"request a 409. A text of at most {MAX_KEY_LENGTH} characters, in quotation marks or bare; stored for "
    "`INTAKE__IDEMPOTENCY_TTL`, by default 24 hours. Errors are not stored",
}
REPLAYED_HEADER: dict[str, Any] = {
    "Idempotency-Replayed": {
        "description": "this is the response to an earlier request with the same Idempotency-Key; no job was created",
        "schema": {"type": "string", "enum": ["true"]},
    }
}
NOT_MODIFIED: Responses = {304: {"description": "`If-None-Match` names the current version", "headers": ANSWER_HEADERS}}
LOCATION: dict[str, Any] = {"Location": {"description": "where to poll the job", "schema": {"type": "string"}}}
EVENT: dict[str, Any] = {
    "type": "object",
    "description": "one event of the stream, by its fields",
    "required": ["event", "data"],
    "properties": {
        "event": {"enum": ["stage", "source", "completed", "failed", "canceled", "deleted", "unauthorized"]},
        "data": {"type": "string", "description": "JSON"},
        "id": {"type": "string", "description": "send it as `Last-Event-ID` to continue behind this event"},
    },
}
EVENT_STREAM: Responses = {
    200: {
        "description": "server-sent events",
        "content": {"text/event-stream": {"schema": EVENT, "example": EVENTS}},
    },
    204: {"description": "`Last-Event-ID` names the last event"},
}
LINK: dict[str, Any] = {
    "Link": {"description": 'the next page as `rel="next"` (RFC 8288)', "schema": {"type": "string"}}
}
IMAGE: Responses = {
    200: {
        "description": "the image",
        "headers": {"ETag": ANSWER_HEADERS["ETag"], "Cache-Control": ANSWER_HEADERS["Cache-Control"]},
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("image/png", "image/bmp")},
    },
    304: {"description": "`If-None-Match` names the current version"},
}
ENDED_IN_TIME: Responses = {
    200: {
        "description": "the job, which ended within the time of `Prefer: wait`",
        "headers": LOCATION | ANSWER_HEADERS,
        "content": {"application/json": {"schema": {"$ref": REF.format(model="JobDocument")}}},
    }
}


def headers(status: int, named: dict[str, Any]) -> Responses:
    """The documentation of a response's headers."""
    return {status: {"headers": named}}


def problems(*kinds: type[ServiceError]) -> Responses:
    """The documentation of an endpoint's own problem documents; 500 is always among them."""
    by_status: dict[int, list[type[ServiceError]]] = {}
    every: list[type[ServiceError]] = [*kinds, ServiceError]
    for kind in every:
        by_status.setdefault(kind.status, []).append(kind)
    return {
        status: {
            "description": "; ".join(kind.title for kind in group),
            "headers": RETRY_AFTER if status in (409, 503) else {},
            "content": {
                "application/problem+json": {
                    "schema": {"$ref": REF.format(model="Problem")},
                    "examples": {kind.slug: {"$ref": _EXAMPLE.format(slug=kind.slug)} for kind in group},
                }
            },
        }
        for status, group in sorted(by_status.items())
    }


def problem_types(root: type[ServiceError] = ServiceError) -> Iterator[type[ServiceError]]:
    """Every class of the tree that defines a type of its own."""
    if "slug" in vars(root):
        yield root
    for kind in root.__subclasses__():
        yield from problem_types(kind)


def _example(kind: type[ServiceError]) -> dict[str, Any]:
    value = {
        "type": kind.type_uri(),
        "title": kind.title,
        "status": kind.status,
        "detail": (kind.__doc__ or kind.title).split("\n")[0],
        "instance": "/attribute",
    }
    return {"summary": kind.title, "value": value}


_A_DAY = (200_000, 100_000_000_000)
_RATE_LIMIT_HEADERS = {
    "RateLimit-Policy": {
        "description": "the limits of the key and its tenant (draft-ietf-httpapi-ratelimit-headers-11)",
        "schema": {"type": "string"},
        "example": f"{policies(3_000, 1_000)}, {daily_policies(*_A_DAY)}",
    },
    "RateLimit": {
        "description": "what remains of them, and the seconds until each is reset",
        "schema": {"type": "string"},
        "example": f"{remaining(Allowance(True, 3_000, 2_999, 60))}, {daily_remaining(*_A_DAY, 40_000)}",
    },
}
_CHALLENGE = {"WWW-Authenticate": {"description": "as in RFC 6750", "schema": {"type": "string"}}}
_WebhookData = type[JobData] | type[PingData] | type[EndpointDisabledData]
_WEBHOOK_DATA: dict[str, _WebhookData] = {
    EventType.STARTED: JobData,
    EventType.SOURCE_FINISHED: SourceFinishedData,
    EventType.COMPLETED: CompletedData,
    EventType.FAILED: FailedData,
    EventType.CANCELED: JobData,
    PING: PingData,
    ENDPOINT_DISABLED: EndpointDisabledData,
}
_WEBHOOK_RESPONSES: Responses = {
    "410": {"description": "never send anything here again: the endpoint is disabled"},
    "default": {"description": "not accepted, redirects included: retried, not before what `Retry-After` says"},
}


class _DocumentRoute(Route):
    """GET /openapi.json, which needs no key: made once, not for every request as FastAPI does (10 ms each)."""

    def __init__(self, app: FastAPI) -> None:
        made = functools.cache(lambda: json.dumps(app.openapi(), ensure_ascii=False, separators=(",", ":")).encode())

        async def get(_: Request) -> Response:
            return Response(made(), media_type="application/json")

        super().__init__(app.openapi_url or "", get, methods=["GET"], include_in_schema=False)


def describe(app: FastAPI) -> None:
    """Completes the app's OpenAPI: webhooks, problem documents, the headers and errors of authentication."""
    for kind, data in _WEBHOOK_DATA.items():
        _describe_webhook(app.webhooks, kind, data)
    original: Callable[[], dict[str, Any]] = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        schema = original()
        problem = Problem.model_json_schema(ref_template=REF)
        components = schema["components"]
        components["headers"] = _RATE_LIMIT_HEADERS
        components["schemas"] |= problem.pop("$defs") | {"Problem": problem}
        for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own idea of a 422
            components["schemas"].pop(name, None)
        for operations in (*schema["paths"].values(), *schema["webhooks"].values()):
            for operation in operations.values():
                _complete(operation["responses"])
                if operation.get("security"):
                    _describe_authentication(operation)
        used = str(schema["paths"])
        components["examples"] = {
            kind.slug: _example(kind) for kind in problem_types() if f"'{_EXAMPLE.format(slug=kind.slug)}'" in used
        }
        return schema

    app.openapi = openapi  # type: ignore[method-assign]
    app.router.routes.insert(0, _DocumentRoute(app))


def _complete(responses: dict[str, Any]) -> None:
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]
    for status, answer in responses.items():
        content = answer.get("content", {}).get("application/json", {})
        if content.get("schema") == {"$ref": REF.format(model="JobDocument")}:
            content["example"] = JOB[int(status)]  # here, because FastAPI drops members that are null
        if content.get("schema") == {"$ref": REF.format(model="SourceEntryDocument")}:
            content["example"] = SOURCE


def _describe_authentication(operation: dict[str, Any]) -> None:
    """Adds the errors of authentication and the headers of the rate limit to an operation that needs a key."""
    scoped = any(scopes for each in operation["security"] for scopes in each.values())
    kinds = (*_AUTHENTICATED, InsufficientScope, ForeignPage) if scoped else _AUTHENTICATED
    responses: dict[str, Any] = operation["responses"]
    for status, answer in problems(*kinds).items():
        present = responses.setdefault(str(status), answer)
        if present is not answer:
            examples = present["content"]["application/problem+json"]["examples"]
            examples |= answer["content"]["application/problem+json"]["examples"]
            titles = f"{present['description']}; {answer['description']}".split("; ")
            present["description"] = "; ".join(dict.fromkeys(titles))
    for status, answer in responses.items():
        added: dict[str, Any] = {}
        if status != "401":
            added |= {name: {"$ref": f"#/components/headers/{name}"} for name in _RATE_LIMIT_HEADERS}
        if status in ("401", "403"):
            added |= _CHALLENGE
        if status == "429":
            added |= RETRY_AFTER
        answer["headers"] = answer.get("headers", {}) | added


def _describe_webhook(router: APIRouter, kind: str, data: _WebhookData) -> None:
    """Adds one type of event as Standard Webhooks 1.0 signs it; nothing here is ever called."""

    def receive(
        body: WebhookEvent[data],  # type: ignore[valid-type]
        webhook_id: Annotated[
            str, Header(description="the same for every attempt: drop an id that you have processed")
        ],
        webhook_timestamp: Annotated[int, Header(description="of the attempt, in seconds since 1970")],
        webhook_signature: Annotated[str, Header(description="`v1,` and base64; two of them during a rotation")],
    ) -> None:
        pass

    receive.__doc__ = data.__doc__
    router.post(
        kind,
        summary=kind,
        status_code=204,
        response_description="accepted, as any 2xx is",
        responses=_WEBHOOK_RESPONSES,
        tags=["webhooks"],
    )(receive)
