"""A site on loopback, and clients that may or may not reach it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from app.egress import EgressClient
from app.settings import EgressSettings
from tests.app.egress.site import Site, serve

MakeClient = Callable[..., EgressClient]


@pytest.fixture
def site() -> Iterator[Site]:
    """A server on loopback."""
    with serve() as running:
        yield running


@pytest.fixture
def make_client() -> Iterator[MakeClient]:
    """Makes clients: `resolve` answers for the DNS, everything else is a setting. They are closed at the end."""
    with ExitStack() as closing:

        def make(resolve: Callable[[str, int], list[str]] | None = None, **settings: Any) -> EgressClient:
            client = EgressClient(EgressSettings(**settings), *([resolve] if resolve else []))
            closing.callback(client.close)
            return client

        yield make


@pytest.fixture
def client(make_client: MakeClient) -> EgressClient:
    """A client that may reach the site."""
    return make_client(allow=["127.0.0.1"], total_timeout=5)
