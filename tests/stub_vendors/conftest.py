"""A stub of all vendors."""

from collections.abc import Iterator

import pytest

from stub_vendors import Stub, serve


@pytest.fixture
def stub() -> Iterator[Stub]:
    """A server."""
    with serve() as stub:
        yield stub
