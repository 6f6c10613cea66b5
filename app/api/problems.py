"""Every error as a problem document (RFC 9457), and GET /problems/{type}, which explains each."""

import errno
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

from app.api import response_headers
from app.api.middleware import REQUEST_ID_HEADER
from app.api.openapi import problem_types, problems
from app.document_base import Document
from app.errors import (
    TYPE_PREFIX,
    InvalidRequest,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    ServiceError,
    StorageUnavailable,
    UploadTimeout,
    UploadTooLarge,
)

router = APIRouter(prefix="/problems", tags=["problems"])
log = structlog.get_logger(__name__)

# Postgres is unavailable, or about to be.
STORAGE_ERRORS = (OperationalError, InterfaceError, PoolTimeoutError)
# A disk or a quota is full, cannot be written or is broken, or there are no descriptors left.
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE}
_BY_STATUS: dict[int, type[ServiceError]] = {
    404: NotFound,
    405: MethodNotAllowed,
    408: UploadTimeout,
    413: UploadTooLarge,
    422: InvalidRequest,
}


class ProblemTypeDocument(Document):
    """The meaning of a problem's `type`."""

    type: str = Field(examples=[TYPE_PREFIX + NotFound.slug])
    title: str
    status: int
    description: str
    permanent: bool = Field(description="whether repeating the same request is pointless")


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


def install(app: FastAPI) -> None:
    """Makes every error response of the app a problem document."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    for kind in STORAGE_ERRORS:
        app.add_exception_handler(kind, _storage_error)
    app.add_exception_handler(OSError, _disk_error)
    app.add_exception_handler(Exception, _unexpected_error)


def problem_response(request: Request, error: ServiceError) -> JSONResponse:
    """The error as a response."""
    headers = dict(error.headers)
    if error.status == 503:
        headers.setdefault("Retry-After", "5")
    return JSONResponse(
        error.document(instance=request.url.path), error.status, headers, media_type="application/problem+json"
    )


async def _service_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError)
    return problem_response(request, error)


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    if any(found["type"] == "json_invalid" for found in error.errors()):
        return problem_response(request, MalformedRequest("The body is not JSON, or is truncated."))
    mistakes = [_mistake(found["loc"], found["msg"]) for found in error.errors()]
    return problem_response(request, InvalidRequest("The request is invalid; `errors` lists why.", errors=mistakes))


def _mistake(where: tuple[str | int, ...], detail: str) -> dict[str, Any]:
    if where[0] == "body":
        return {"detail": detail, "pointer": "#/" + "/".join(map(str, where[1:]))}
    return {"detail": detail, "parameter": str(where[1])}


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    kind = _BY_STATUS.get(error.status_code, MalformedRequest)
    detail = {
        404: f"There is nothing at {request.url.path}; GET /openapi.json lists the endpoints.",
        413: "The body is larger than this endpoint accepts.",
        405: f"{request.method} is not supported at {request.url.path}.",
    }.get(error.status_code, error.detail or HTTPStatus(error.status_code).phrase)
    headers = {"Allow": _methods_at(request)} if error.status_code == 405 else error.headers
    return problem_response(request, kind(detail, headers=headers))


def _methods_at(request: Request) -> str:
    """All methods of a path. The router names only those of the first route that matches."""
    routes = [route for route in iter_route_contexts(request.app.routes) if route.path_regex.match(request.url.path)]
    return ", ".join(sorted({method for route in routes for method in route.methods or ()}))


async def _storage_error(request: Request, error: Exception) -> JSONResponse:
    return problem_response(request, storage_problem(error))


def storage_problem(error: Exception) -> StorageUnavailable:
    """The error of the API for one of STORAGE_ERRORS."""
    log.warning("postgres_unavailable", error=type(error).__name__)
    return StorageUnavailable("The database does not respond; try again in a few seconds.")


async def _disk_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, OSError)
    if error.errno not in _NO_ROOM:
        raise error
    log.error("disk_error", error=error.strerror)
    return problem_response(request, StorageUnavailable("The service has no room for uploads; try again in a minute."))


async def _unexpected_error(request: Request, error: Exception) -> JSONResponse:
    # Starlette's outermost layer calls this, and the server then logs the stack trace.
    request_id = str(getattr(request.state, "request_id", ""))
    log.error("unexpected_error", error=type(error).__name__, request_id=request_id)
    return problem_response(
        request,
        ServiceError(
            "An internal error occurred; the operator can find it in the log by the request id.",
            # The inner middleware would have added these.
            headers={REQUEST_ID_HEADER: request_id, **response_headers.HEADERS, **getattr(request.state, "limits", {})},
        ),
    )
