"""The API behind a real socket, in this process: for clients that wait, stream or disconnect."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from redis import Redis

from app.api import create_app
from app.api.http_protocol import LimitedProtocol
from app.jobs.snapshots import Snapshots, connect_redis
from app.settings import Settings


def application(client: TestClient) -> FastAPI:
    """The application behind a client."""
    return cast(FastAPI, client.app)


def overrides(client: TestClient) -> dict[Callable[..., Any], Callable[..., Any]]:
    """What stands in for the dependencies of the application behind a client."""
    return application(client).dependency_overrides


def call(client: TestClient, *channel: Any) -> None:
    """Calls the application behind a client with an ASGI scope and the functions to receive and to send."""
    assert client.portal is not None
    client.portal.call(cast(Any, client.app), *channel)


@dataclass(frozen=True, slots=True)
class Served:
    """A running server, and a client that has a key."""

    url: str
    client: httpx.Client


def connection(served: Served) -> socket.socket:
    """A new connection to the API, for what no client sends."""
    parts = urlsplit(served.url)
    assert parts.hostname
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


@contextmanager
def serving(app: FastAPI, key: str) -> Iterator[Served]:
    """Uvicorn in a thread of its own, on a free port."""
    config = uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=5, http=LimitedProtocol, ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            thread.join(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
            yield Served(url, client)
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def serve(settings: Settings, key: str, redis: Redis) -> Iterator[Callable[..., Served]]:
    """Serves an API on the test's settings, changed group by group: `serve(long_polling={"waiters": 1})`."""
    with ExitStack() as running:

        def make(**groups: dict[str, Any]) -> Served:
            changed = {name: getattr(settings, name).model_copy(update=values) for name, values in groups.items()}
            return running.enter_context(serving(create_app(settings.model_copy(update=changed)), key))

        yield make


@pytest.fixture
def snapshots(settings: Settings, redis: Redis) -> Iterator[Snapshots]:
    """Documents in the test's Valkey, as workers write them."""
    with closing(connect_redis(settings.redis)) as client:
        yield Snapshots(client, settings.redis)
