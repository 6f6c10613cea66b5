"""A stub of all vendors, and one client."""

from collections.abc import Iterator

import pytest

from attribution.resynthesis.remote.http_client import HttpClient
from stub_vendors import Stub, serve


@pytest.fixture(scope="session")
def running_stub() -> Iterator[Stub]:
    """One server for all of these tests."""
    with serve() as stub:
        yield stub


@pytest.fixture
def stub(running_stub: Stub) -> Stub:
    """The server with default behavior and cleared counts."""
    running_stub.reset()
    running_stub.behave()
    return running_stub


@pytest.fixture(scope="session")
def running_foreign() -> Iterator[Stub]:
    """Another server for all of these tests."""
    with serve() as stub:
        yield stub


@pytest.fixture
def foreign_host(running_foreign: Stub) -> Stub:
    """A server to which no response may direct a key."""
    running_foreign.reset()
    return running_foreign


@pytest.fixture(scope="session")
def client() -> Iterator[HttpClient]:
    """The method's own HTTP client."""
    client = HttpClient()
    yield client
    client.close()
