"""An S3-compatible object store in a thread of this process (moto), which can be made slow, or fail."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from threading import Thread
from typing import Any

import httpx
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_FAILURE = b'<?xml version="1.0"?><Error><Code>InternalError</Code><Message>injected</Message></Error>'


@dataclass(slots=True)
class ObjectStore:
    """The store's address, its faults, and the requests that it got as (method, path and query)."""

    url: str = ""
    delay: float = 0.0  # seconds before each response
    failing: bool = False  # every request is answered with 503
    requests: list[tuple[str, str]] = field(default_factory=list)

    def create_bucket(self, name: str) -> str:
        """The URL for `BLOBS__URL`."""
        httpx.put(f"{self.url}/{name}").raise_for_status()
        return f"s3://{name}/prefix"

    def environment(self) -> Mapping[str, str]:
        """What clients need to be set."""
        return {
            "AWS_ENDPOINT": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: Any) -> None:
        """Nothing: each request would be a line."""


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    """An empty store on loopback."""
    store = ObjectStore()
    moto = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, _with_faults(moto, store), threaded=True, request_handler=_Quiet)
    store.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _with_faults(application: Application, store: ObjectStore) -> Application:
    def serve(environment: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        query = environment.get("QUERY_STRING", "")
        store.requests.append(
            (environment["REQUEST_METHOD"], environment["PATH_INFO"] + (f"?{query}" if query else ""))
        )
        time.sleep(store.delay)
        if store.failing:
            # Read, or the client would take the rest of its body's connection for a broken one.
            environment["wsgi.input"].read(int(environment.get("CONTENT_LENGTH") or 0))
            status = HTTPStatus.SERVICE_UNAVAILABLE
            start_response(f"{status.value} {status.phrase}", [("Content-Length", str(len(_FAILURE)))])
            return [_FAILURE]
        return application(environment, start_response)

    return serve
