"""Every error is a problem document, its type explains itself, and nothing of the inside leaves."""

import inspect
import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app import errors
from app.api.application import create_app
from app.api.openapi import problem_types
from app.settings import Settings


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [
        ("GET", "/nowhere", 404, "not-found"),
        ("DELETE", "/attribute", 405, "method-not-allowed"),
        ("PUT", "/sources", 405, "method-not-allowed"),
        ("GET", "/problems/nonsense", 404, "not-found"),
    ],
)
def test_unknown_paths_and_methods_are_problems(client: TestClient, method: str, path: str, status: int, slug: str):
    """All the members of RFC 9457 are there; a 405 says what is allowed."""
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == f"/problems/{slug}"
    assert problem["status"] == status
    assert problem["instance"] == path
    assert problem["title"]
    assert problem["detail"].endswith(".")
    assert ("allow" in answer.headers) == (status == 405)


def test_every_type_explains_itself(client: TestClient):
    """The type of each error in the tree is a resource that says what it means."""
    kinds = list(problem_types())
    assert len({kind.slug for kind in kinds}) == len(kinds) > 15
    for kind in kinds:
        found = client.get(errors.TYPE_PREFIX + kind.slug).json()
        assert (found["title"], found["status"], found["permanent"]) == (kind.title, kind.status, kind.permanent)
        assert found["description"]


def test_the_tree_in_the_docstring_is_the_tree():
    """Each class is in the tree, with its status where it has one of its own."""
    tree = dict(re.findall(r"[├└]── (\w+) +(\d{3})?", inspect.getdoc(errors) or ""))
    classes = {name: vars(errors)[name] for name in tree}
    assert set(tree) == {
        name
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, errors.ServiceError) and kind is not errors.ServiceError
    }
    assert {name: int(status) for name, status in tree.items() if status} == {
        name: kind.status for name, kind in classes.items() if tree[name]
    }


def test_an_internal_error_has_no_stack_trace(settings: Settings, key: str):
    """The response is a 500 problem with the request's id, without the cause."""
    app = create_app(settings)

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("the secret reason")

    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/broken", headers={"X-Request-Id": "abc", "Authorization": f"Bearer {key}"})
    assert (answer.status_code, answer.json()["type"]) == (500, "/problems/internal")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == "abc"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "ratelimit" in answer.headers
    assert "secret" not in answer.text
    assert Path(__file__).name not in answer.text


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-1.2:3", True), ("", False), ("x" * 129, False), ("a b", False), ("a\tb", False)]
)
def test_a_request_has_an_id(client: TestClient, given: str, kept: bool):
    """The caller's own where it is sane, else a new one; on errors as well."""
    for path in ("/livez", "/nowhere"):
        answer = client.get(path, headers={"X-Request-Id": given})
        assert (answer.headers["x-request-id"] == given) == kept
        assert answer.headers["x-request-id"]
