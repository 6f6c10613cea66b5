"""Which key each operation asks for, read off the endpoints' signatures, and said in the OpenAPI document.

Nothing is decided here: `AccessMiddleware` asks for a key, and the dependencies in the signatures for its scopes.
"""

from collections.abc import Callable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from app.access.scopes import Scope
from app.api import dependencies
from app.api.access import is_open
from app.api.openapi import RETRY_AFTER, Responses, problems
from app.errors import InsufficientScope, InvalidKey, QuotaExceeded, StorageUnavailable, Unauthenticated

_SCOPES: dict[Callable[..., Any], Scope] = {
    dependencies.get_submitter: Scope.SUBMIT,
    dependencies.get_reader: Scope.READ,
    dependencies.get_administrator: Scope.ADMIN,
}
_SCHEME = "key"
_HEADERS = {
    "RateLimit-Policy": {
        "description": "what the key is held to (draft-ietf-httpapi-ratelimit-headers-11)",
        "schema": {"type": "string"},
        "example": '"requests";q=3000;w=60, "jobs";q=1000;qu="concurrent-requests"',
    },
    "RateLimit": {
        "description": "what is left of it, and for how many seconds",
        "schema": {"type": "string"},
        "example": '"requests";r=2999;t=60',
    },
}
_CHALLENGE = {"WWW-Authenticate": {"description": "as RFC 6750 has it", "schema": {"type": "string"}}}


class Undeclared(Exception):
    """An endpoint whose signature does not say who may call it."""


def rules(app: FastAPI) -> Iterator[tuple[str, str, Scope | None]]:
    """(method, path, scope) of every operation that needs a key. Raises Undeclared."""
    for route in iter_route_contexts(app.routes):
        path = route.path_format or ""
        if is_open(path):
            continue
        calls = set(_calls(route.dependant)) if hasattr(route, "dependant") else set()
        if dependencies.get_caller not in calls:
            raise Undeclared(f"{path} has no Caller, Submitter, Reader or Administrator in its signature")
        scopes = {scope for call, scope in _SCOPES.items() if call in calls}
        if len(scopes) > 1:
            raise Undeclared(f"{path} asks for {' and '.join(scopes)}: there is no way to say so in the document")
        for method in sorted(route.methods or ()):
            yield method, path, next(iter(scopes), None)


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    for each in dependant.dependencies:
        if each.call is not None:
            yield each.call
        yield from _calls(each)


def describe_access(app: FastAPI) -> None:
    """Completes the app's OpenAPI. Raises Undeclared now and not when the document is asked for."""
    asked = {(method.lower(), path): scope for method, path, scope in rules(app)}
    original: Callable[[], dict[str, Any]] = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        schema = original()
        components = schema["components"]
        components["headers"] = _HEADERS
        components["securitySchemes"] = {
            _SCHEME: {"type": "http", "scheme": "bearer", "bearerFormat": "wd_…", "description": "an API key"}
        }
        for path, operations in schema["paths"].items():
            for method, operation in operations.items():
                if (method, path) in asked:
                    _say(operation, asked[method, path])
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def _say(operation: dict[str, Any], scope: Scope | None) -> None:
    operation["security"] = [{_SCHEME: [] if scope is None else [scope]}]
    kinds = [Unauthenticated, InvalidKey, QuotaExceeded, StorageUnavailable]
    responses: dict[str, Any] = operation["responses"]
    _merge(responses, problems(*kinds, *([] if scope is None else [InsufficientScope])))
    for status, answer in responses.items():
        named: dict[str, Any] = {}
        if status != "401":
            named |= {name: {"$ref": f"#/components/headers/{name}"} for name in _HEADERS}
        if status in ("401", "403"):
            named |= _CHALLENGE
        if status == "429":
            named |= RETRY_AFTER
        answer["headers"] = answer.get("headers", {}) | named


def _merge(responses: dict[str, Any], more: Responses) -> None:
    for status, answer in more.items():
        there = responses.setdefault(str(status), answer)
        if there is not answer:
            examples = there["content"]["application/problem+json"]["examples"]
            examples |= answer["content"]["application/problem+json"]["examples"]
