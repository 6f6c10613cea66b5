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
    """The server, behaving well and knowing nothing of earlier tests."""
    running_stub.forget()
    running_stub.behave()
    return running_stub


@pytest.fixture(scope="session")
def running_stranger() -> Iterator[Stub]:
    """Another server for all of these tests."""
    with serve() as stub:
        yield stub


@pytest.fixture
def stranger(running_stranger: Stub) -> Stub:
    """A server that no response may lead a key to."""
    running_stranger.forget()
    return running_stranger


@pytest.fixture(scope="session")
def client() -> Iterator[HttpClient]:
    """The library's own."""
    client = HttpClient()
    yield client
    client.close()
