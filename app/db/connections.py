"""Connections to Postgres that never wait without end.

Postgres itself ends a statement that takes too long. Where it does not even do that, because it is frozen or its host
is gone, the connection is given up here.
"""

from threading import Lock
from typing import Any, TypeVar

from psycopg import Connection, OperationalError, errors
from psycopg.abc import PQGen

Returned = TypeVar("Returned")


class LimitedConnection(Connection[Any]):
    """A connection of which every wait has a limit in seconds, or none. After the limit it is closed."""

    limit: float | None = None

    def wait(self, gen: PQGen[Returned], interval: float = 0.1, timeout: float | None = None) -> Returned:
        """Raises OperationalError after the limit."""
        try:
            return super().wait(gen, interval, self.limit if timeout is None else timeout)
        except errors._WaitTimeout as error:  # it has no public name
            self.pgconn.finish()  # the session may still be doing anything
            raise OperationalError(f"Postgres has not responded for {self.limit:g} seconds.") from error


class Connector:
    """Opens connections. While Postgres accepts none, one thread at a time tries, and the others fail at once.

    Otherwise forty requests at a time would each wait for the timeout, and those behind them for theirs.
    """

    def __init__(self, limit: float | None) -> None:
        """`limit` is that of the connections."""
        self._limit = limit
        self._failing = False
        self._trying = Lock()

    def connect(self, _dialect: object, _record: object, arguments: Any, parameters: Any) -> LimitedConnection:
        """For SQLAlchemy's event `do_connect`. Raises OperationalError."""
        alone = self._failing
        if alone and not self._trying.acquire(blocking=False):
            raise OperationalError("Postgres accepts no connections; another thread is trying.")
        try:
            connection = LimitedConnection.connect(*arguments, **parameters)
        except OperationalError:
            self._failing = True
            raise
        finally:
            if alone:
                self._trying.release()
        self._failing = False
        connection.limit = self._limit
        return connection
