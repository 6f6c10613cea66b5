"""Resolves names, each look-up in a thread of its own: `getaddrinfo` takes no timeout and cannot be stopped.

A look-up that was given up goes on until the system's resolver gives up, too. It holds one of its owner's places for as
long, so that an owner whose name servers never respond uses up its own share and no other owner's.
"""

import socket
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Thread

import httpcore

from app.shares import Shares

# (host, port) to IP addresses in text, in the order in which they shall be tried. Raises OSError.
Resolver = Callable[[str, int], Sequence[str]]

_LOOK_UPS = 128

_owner: ContextVar[Hashable] = ContextVar("owner", default=None)


@contextmanager
def look_ups_of(owner: Hashable) -> Iterator[None]:
    """Within it, what this thread looks up counts for that owner; outside of it, for the operator."""
    token = _owner.set(owner)
    try:
        yield
    finally:
        _owner.reset(token)


def system_resolver(host: str, port: int) -> Sequence[str]:
    """The operating system's resolver. Raises OSError."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class LookUps:
    """The look-ups of one client, those that were given up among them."""

    def __init__(self, resolve: Resolver) -> None:
        self._resolve = resolve
        self._places = Shares(_LOOK_UPS)

    def addresses(self, host: str, port: int, seconds: float) -> Sequence[str]:
        """The addresses of a name. Raises ConnectError and ConnectTimeout."""
        owner = _owner.get()
        if not self._places.take(owner):
            raise httpcore.ConnectTimeout("too many of the owner's names are being resolved")
        found: Future[Sequence[str]] = Future()
        Thread(target=self._run, args=(owner, host, port, found), name="look-up", daemon=True).start()
        try:
            return found.result(seconds)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("the name was not resolved in time") from error
        except OSError as error:
            raise httpcore.ConnectError(f"the name was not resolved: {error}") from error

    def _run(self, owner: Hashable, host: str, port: int, found: Future[Sequence[str]]) -> None:
        try:
            addresses = self._resolve(host, port)
        except Exception as error:
            self._places.release(owner)
            found.set_exception(error)
        else:
            self._places.release(owner)
            found.set_result(addresses)
