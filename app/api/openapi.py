"""What FastAPI cannot see by itself: the multipart body that is parsed by hand, headers, and problem documents."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from app.api.examples import DOTS, EVENTS, JOB, PIXEL, SOURCE
from app.errors import ServiceError
from app.intake.json_body import REFERENCES
from app.intake.multipart import IMAGE_FIELD, REFERENCE_FIELD
from app.intake.options import Options
from app.intake.submission import DURATION_PATTERN, IMAGE_URL, KEY_PATTERN, MAX_KEY_LENGTH, MAX_URL
from attribution.ports import MOST_REFERENCES

Responses = dict[int | str, dict[str, Any]]
_REF = "#/components/schemas/{model}"


class ProblemError(BaseModel):
    """One of several mistakes in a request."""

    model_config = ConfigDict(extra="forbid")

    detail: str
    pointer: str | None = Field(None, description="JSON pointer to the member of the body")
    parameter: str | None = Field(None, description="name of the path or query parameter")


class Problem(BaseModel):
    """An error as RFC 9457 has it. `type` is stable, and GET on it explains it."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[ProblemError] | None = None


RETRY_AFTER: dict[str, Any] = {
    "Retry-After": {"description": "seconds until it is worth asking again", "schema": {"type": "integer"}}
}
ANSWER_HEADERS: dict[str, Any] = RETRY_AFTER | {
    "ETag": {"description": "of these very bytes, for `If-None-Match`", "schema": {"type": "string"}},
    "Vary": {"schema": {"type": "string"}, "example": "Prefer"},
    "Cache-Control": {"schema": {"type": "string"}, "example": "private, no-cache"},
    "Preference-Applied": {
        "description": "what was honored of `Prefer` (RFC 7240)",
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
    "description": "`wait=n`: answer when the job has ended or after n seconds, 1 to 60, `wait` alone means 60",
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
    "description": "the same request sent again with the same key makes nothing new and is answered as it was the "
    "first time (draft-ietf-httpapi-idempotency-key-header-07); another request with it is a 422, and one sent while "
    f"the first is being worked on a 409. A text in quotation marks, or bare, of at most {MAX_KEY_LENGTH} characters; "
    "remembered for as long as `INTAKE__IDEMPOTENCY_TTL` says, 24 hours unless changed. Errors are not remembered",
}
REPLAYED_HEADER: dict[str, Any] = {
    "Idempotency-Replayed": {
        "description": "this answers an earlier request with the same Idempotency-Key; nothing new was made",
        "schema": {"type": "string", "enum": ["true"]},
    }
}
NOT_MODIFIED: Responses = {304: {"description": "`If-None-Match` names what would be sent", "headers": ANSWER_HEADERS}}
LOCATION: dict[str, Any] = {"Location": {"description": "where to poll the job", "schema": {"type": "string"}}}
EVENT: dict[str, Any] = {
    "type": "object",
    "description": "one event of the stream, by its fields",
    "required": ["event", "data"],
    "properties": {
        "event": {"enum": ["stage", "source", "completed", "failed", "canceled", "deleted"]},
        "data": {"type": "string", "description": "JSON"},
        "id": {"type": "string", "description": "what to send as `Last-Event-ID` to go on from here"},
    },
}
EVENT_STREAM: Responses = {
    200: {
        "description": "server-sent events",
        "content": {"text/event-stream": {"schema": EVENT, "example": EVENTS}},
    },
    204: {"description": "`Last-Event-ID` names the last event; there is nothing more to come"},
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
    304: {"description": "`If-None-Match` names what would be sent"},
}
ENDED_IN_TIME: Responses = {
    200: {
        "description": "the job, ended within the time of `Prefer: wait`",
        "headers": LOCATION | ANSWER_HEADERS,
        "content": {"application/json": {"schema": {"$ref": _REF.format(model="JobDocument")}}},
    }
}


def headers(status: int, named: dict[str, Any]) -> Responses:
    """The documentation of the headers of an answer."""
    return {status: {"headers": named}}


def problems(*kinds: type[ServiceError]) -> Responses:
    """The documentation of the problems an endpoint can answer with; an error of ours is always among them."""
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
                    "schema": {"$ref": _REF.format(model="Problem")},
                    "examples": {kind.slug: {"summary": kind.title, "value": _example(kind)} for kind in group},
                }
            },
        }
        for status, group in sorted(by_status.items())
    }


def _example(kind: type[ServiceError]) -> dict[str, Any]:
    return {
        "type": kind.type_uri(),
        "title": kind.title,
        "status": kind.status,
        "detail": (kind.__doc__ or kind.title).split("\n")[0],
        "instance": "/attribute",
    }


def _options() -> dict[str, Any]:
    schema = Options.model_json_schema(ref_template=_REF)
    schema.pop("$defs")  # the webhooks' documents have them among the components
    return schema


_FORMATS = "PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF"
_FILE: dict[str, Any] = {"type": "string", "format": "binary", "description": _FORMATS}
_BASE64: dict[str, Any] = {
    "type": "string",
    "pattern": r"^(data:[^,]{0,200};base64,)?([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
    "description": f"{_FORMATS} in base64 without line breaks, or a data: URL of that",
}
_BROUGHT = "generated images of this source that you have already, of the text in `prompt`, which is needed then"


def _generated_images(each: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": each, "minItems": 1, "maxItems": MOST_REFERENCES}


def _form_schema() -> dict[str, Any]:
    schema = _options()
    schema["properties"] = {IMAGE_FIELD: _FILE} | {
        name: _without_null(value) for name, value in schema["properties"].items()
    }
    of_a_source = rf"^{REFERENCE_FIELD}\[[a-z0-9][a-z0-9._-]{{0,63}}\]$"
    schema["patternProperties"] = {of_a_source: _generated_images(_FILE) | {"description": _BROUGHT}}
    schema["required"] = [IMAGE_FIELD]
    return schema


def _json_schema() -> dict[str, Any]:
    schema = _options()
    references = {
        "anyOf": [{"type": "object", "additionalProperties": _generated_images(_BASE64)}, {"type": "null"}],
        "default": None,
        "description": f"by source, {_BROUGHT}",
    }
    address = {
        "type": "string",
        "maxLength": MAX_URL,
        "description": "a public http or https address, which a worker fetches: what is wrong with the image then "
        "shows in the job",
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
    """A form has no null: an option is left out instead."""
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
            # The default of the specification, said for clients that do not know it.
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
GENERATED_IMAGES: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {REFERENCE_FIELD: _generated_images(_FILE)},
                "required": [REFERENCE_FIELD],
                "additionalProperties": False,
            }
        },
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {REFERENCES: _generated_images(_BASE64)},
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


def describe(app: FastAPI) -> None:
    """Completes the app's OpenAPI: problem documents among its components, FastAPI's own idea of a 422 nowhere."""
    original: Callable[[], dict[str, Any]] = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        schema = original()
        problem = Problem.model_json_schema(ref_template=_REF)
        components = schema["components"]["schemas"]
        components |= problem.pop("$defs") | {"Problem": problem}
        for name in ("HTTPValidationError", "ValidationError"):
            components.pop(name, None)
        for operations in (*schema["paths"].values(), *schema["webhooks"].values()):
            for operation in operations.values():
                _complete(operation["responses"])
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(responses: dict[str, Any]) -> None:
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]
    for status, answer in responses.items():
        content = answer.get("content", {}).get("application/json", {})
        if content.get("schema") == {"$ref": _REF.format(model="JobDocument")}:
            content["example"] = JOB[int(status)]  # here, because FastAPI drops members that are null
        if content.get("schema") == {"$ref": _REF.format(model="SourceEntryDocument")}:
            content["example"] = SOURCE
