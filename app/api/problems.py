"""Every error as a problem document (RFC 9457), and what each type means."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from pydantic import Field
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from app.api import security
from app.api.middleware import REQUEST_ID_HEADER
from app.api.openapi import problems
from app.documents import Document
from app.errors import (
    TYPE_PREFIX,
    InvalidRequest,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    ServiceError,
    StorageUnavailable,
    UploadTooLarge,
)

router = APIRouter(prefix="/problems", tags=["problems"])
log = structlog.get_logger(__name__)

# Postgres is unavailable, or about to be.
STORAGE_ERRORS = (OperationalError, InterfaceError, PoolTimeoutError)
_BY_STATUS: dict[int, type[ServiceError]] = {
    404: NotFound,
    405: MethodNotAllowed,
    413: UploadTooLarge,
    422: InvalidRequest,
}


class ProblemTypeDocument(Document):
    """What a problem's `type` means."""

    type: str = Field(examples=[TYPE_PREFIX + NotFound.slug])
    title: str
    status: int
    description: str
    permanent: bool = Field(description="whether trying the same again is pointless")


@router.get("/{slug}", responses=problems(NotFound))
async def get_problem_type(slug: str) -> ProblemTypeDocument:
    """Explain a problem's type, which is this resource's path."""
    for kind in problem_types():
        if kind.slug == slug:
            return ProblemTypeDocument(
                type=kind.type_uri(),
                title=kind.title,
                status=kind.status,
                description=(kind.__doc__ or kind.title).split("\n")[0],
                permanent=kind.permanent,
            )
    raise NotFound("There is no such type of problem.")


def problem_types(root: type[ServiceError] = ServiceError) -> Iterator[type[ServiceError]]:
    """Every class of the tree that names a type of its own."""
    if "slug" in vars(root):
        yield root
    for kind in root.__subclasses__():
        yield from problem_types(kind)


def install(app: FastAPI) -> None:
    """Makes the app answer every error as a problem document."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    for kind in STORAGE_ERRORS:
        app.add_exception_handler(kind, _storage_error)
    app.add_exception_handler(Exception, _unexpected_error)


def answer_problem(request: Request, error: ServiceError) -> JSONResponse:
    """The error as a response."""
    headers = dict(error.headers)
    if error.status == 503:
        headers.setdefault("Retry-After", "5")
    return JSONResponse(
        error.document(instance=request.url.path), error.status, headers, media_type="application/problem+json"
    )


async def _service_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError)
    return answer_problem(request, error)


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    if any(found["type"] == "json_invalid" for found in error.errors()):
        return answer_problem(request, MalformedRequest("The body is not JSON, or breaks off."))
    mistakes = [_mistake(found["loc"], found["msg"]) for found in error.errors()]
    return answer_problem(request, InvalidRequest("The request cannot be taken; `errors` lists why.", errors=mistakes))


def _mistake(where: tuple[str | int, ...], detail: str) -> dict[str, Any]:
    if where[0] == "body":
        return {"detail": detail, "pointer": "#/" + "/".join(map(str, where[1:]))}
    return {"detail": detail, "parameter": str(where[1])}


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    kind = _BY_STATUS.get(error.status_code, MalformedRequest)
    detail = {
        404: f"There is nothing at {request.url.path}; GET /openapi.json describes what there is.",
        413: "The body is larger than anything this endpoint takes.",
        405: f"{request.method} is not possible at {request.url.path}.",
    }.get(error.status_code, error.detail or HTTPStatus(error.status_code).phrase)
    headers = {"Allow": _methods_at(request)} if error.status_code == 405 else error.headers
    return answer_problem(request, kind(detail, headers=headers))


def _methods_at(request: Request) -> str:
    """What is possible at a path. The router names the methods of the first route that matches, and only those."""
    routes = [route for route in iter_route_contexts(request.app.routes) if route.path_regex.match(request.url.path)]
    return ", ".join(sorted({method for route in routes for method in route.methods or ()}))


async def _storage_error(request: Request, error: Exception) -> JSONResponse:
    return answer_problem(request, storage_problem(error))


def storage_problem(error: Exception) -> StorageUnavailable:
    """What one of the STORAGE_ERRORS is to a caller."""
    log.warning("postgres_unavailable", error=type(error).__name__)
    return StorageUnavailable("The database does not answer; try again in a few seconds.")


async def _unexpected_error(request: Request, error: Exception) -> JSONResponse:
    # The server's outermost layer calls this and then logs the stack trace, which stays in the log.
    request_id = str(getattr(request.state, "request_id", ""))
    log.error("unexpected_error", error=type(error).__name__, request_id=request_id)
    return answer_problem(
        request,
        ServiceError(
            "Something went wrong on our side; the request id finds it in the log.",
            # What the layers further in would have added.
            headers={REQUEST_ID_HEADER: request_id, **security.HEADERS, **getattr(request.state, "limits", {})},
        ),
    )
