"""Trading keys for tokens: when, how often, and what comes of it when there is none."""

import json
import threading
from collections.abc import Callable
from urllib.parse import parse_qs

import pytest

from attribution.errors import (
    ConnectionFailed,
    KeyRefused,
    RateLimited,
    ResponseLost,
    SourceError,
    SourceTimeout,
)
from attribution.resynthesis.remote.tokens import ClientCredentials, Tokens
from attribution.resynthesis.remote.web import HttpResponse, Request

REQUEST = Request("POST", "https://ims.example/token")


def service(
    status: int = 200, document: object = None, seen: list[Request] | None = None
) -> Callable[[Request], HttpResponse]:
    """A token service with numbered tokens."""
    asked: list[Request] = [] if seen is None else seen

    def call(request: Request) -> HttpResponse:
        asked.append(request)
        given = {"access_token": f"token-{len(asked)}", "expires_in": 3600} if document is None else document
        return HttpResponse(status, {}, json.dumps(given).encode())

    return call


def test_a_token_is_kept_until_shortly_before_its_end() -> None:
    """A token is reused until shortly before it expires, and each key has its own."""
    now = [0.0]
    tokens, call = Tokens("Vendor", lambda: now[0]), service()
    assert [tokens.token(key, lambda: REQUEST, call) for key in ("one", "one", "two")] == [
        "token-1",
        "token-1",
        "token-2",
    ]
    now[0] = 3_600 - 61
    assert tokens.token("one", lambda: REQUEST, call) == "token-1"
    now[0] = 3_600 - 59
    assert tokens.token("one", lambda: REQUEST, call) == "token-3"


def test_a_token_that_does_not_tell_its_end_is_not_kept_for_long() -> None:
    """A token without a stated lifetime is kept for a few minutes."""
    now = [0.0]
    tokens = Tokens("Vendor", lambda: now[0])
    call = service(document={"access_token": "t"})
    seen: list[Request] = []
    tokens.token("key", lambda: REQUEST, call)
    now[0] = 301
    tokens.token("key", lambda: REQUEST, service(seen=seen))
    assert len(seen) == 1


def test_threads_trade_once() -> None:
    """Eight threads share the token that the first one requested."""
    seen: list[Request] = []
    tokens, call = Tokens("Vendor"), service(seen=seen)
    threads = [threading.Thread(target=tokens.token, args=("key", lambda: REQUEST, call)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("status", "document", "kind"),
    [
        (400, {"error": "invalid_client"}, KeyRefused),
        (401, {"error": "secret=hunter2"}, KeyRefused),
        (429, {}, RateLimited),
        (503, {}, ConnectionFailed),
        (200, {"token": "t"}, SourceError),
        (200, ["t"], SourceError),
    ],
)
def test_no_token(status: int, document: object, kind: type[SourceError]) -> None:
    """Each failure becomes a state, and unknown texts of the service are not repeated."""
    with pytest.raises(kind) as raised:
        Tokens("Vendor").token("key", lambda: REQUEST, service(status, document))
    assert type(raised.value) is kind
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(("lost", "kind"), [(ResponseLost("x"), ConnectionFailed), (SourceTimeout("x"), SourceTimeout)])
def test_a_lost_answer_of_the_token_service_orders_nothing(lost: SourceError, kind: type[SourceError]) -> None:
    """A lost response of the token service costs nothing: it is not an unknown submission."""

    def call(request: Request) -> HttpResponse:
        raise lost

    with pytest.raises(kind):
        Tokens("Vendor").token("key", lambda: REQUEST, call)


def test_client_credentials() -> None:
    """Id and secret are sent only to the token service, id and token to the vendor."""
    seen: list[Request] = []
    scheme = ClientCredentials("Vendor", "https://ims.example/token", "generate,look", "x-api-key")
    assert scheme.headers("id:se:cret", service(seen=seen)) == {"authorization": "Bearer token-1", "x-api-key": "id"}
    (request,) = seen
    assert request.to == "https://ims.example/token"
    assert parse_qs(request.body.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["id"],
        "client_secret": ["se:cret"],
        "scope": ["generate,look"],
    }
    assert "cret" not in repr(vars(scheme)) + repr(vars(scheme._tokens)) + repr(request)


@pytest.mark.parametrize("key", ["id", ":secret", "id:"])
def test_half_a_key(key: str) -> None:
    """The error names the missing part, and nothing is sent."""
    seen: list[Request] = []
    with pytest.raises(KeyRefused, match="colon"):
        ClientCredentials("Vendor", "https://x", "s", "x-api-key").headers(key, service(seen=seen))
    assert seen == []
