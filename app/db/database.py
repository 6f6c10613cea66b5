"""Connections to Postgres: one engine per process, one transaction per request or step; and the schema's revision."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from psycopg import Connection, OperationalError
from sqlalchemy import create_engine, event, make_url, text
from sqlalchemy.engine import Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from app.settings import DatabaseSettings

# Made once: making it anew cost more than running it.
_DURABLE = text("SET LOCAL synchronous_commit = on")
# A connection that was used this recently is not checked.
IDLE_SECONDS = 1.0


def connect(settings: DatabaseSettings) -> Engine:
    """An engine over psycopg 3, its pool sized by the settings; nothing connects yet."""
    engine = create_engine(
        make_url(settings.url.get_secret_value()).set(drivername="postgresql+psycopg"),
        # A failing statement is logged; captions and keys that it was given are not.
        hide_parameters=True,
        pool_size=settings.pool_size,
        max_overflow=settings.max_overflow,
        pool_timeout=settings.connect_timeout.total_seconds(),
        # The connection that was used last knows most statements already; the others' turn comes when it is taken.
        pool_use_lifo=True,
        connect_args={
            "connect_timeout": max(2, round(settings.connect_timeout.total_seconds())),
            # No transaction holds a row lock this long; that of a lost client is ended.
            "options": "-c lock_timeout=10s -c idle_in_transaction_session_timeout=60s -c timezone=UTC"
            # `Database.transaction` waits for the disk where a promise depends on it.
            " -c synchronous_commit=off",
        },
    )
    event.listen(engine, "checkin", _note_use)
    event.listen(engine, "checkout", _ping_if_idle)
    return engine


def _note_use(connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
    record.info["used"] = time.monotonic()


def _ping_if_idle(connection: DBAPIConnection, record: ConnectionPoolEntry, _: object) -> None:
    """Checks a connection that was idle; checking each time cost a job 3 ms.

    Outside a transaction: at a ROLLBACK psycopg discards all statements that it has prepared, and the next request
    after a quiet second would have them all parsed and planned again.
    """
    if time.monotonic() - record.info.get("used", time.monotonic()) < IDLE_SECONDS:
        return
    driver = cast(Connection, connection)
    try:
        before, driver.autocommit = driver.autocommit, True
        driver.execute("").close()
        driver.autocommit = before
    except OperationalError as error:
        raise DisconnectionError from error  # the pool drops it and opens another


class Database:
    """Opens sessions. The block is the transaction: it commits at the end and rolls back on an error."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._sessions = sessionmaker(engine, expire_on_commit=False, autoflush=False)
        self._statements = sessionmaker(
            engine.execution_options(isolation_level="AUTOCOMMIT"), expire_on_commit=False, autoflush=False
        )

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[Session]:
        """A session that commits at the end of the block.

        With `durable=False` the commit does not wait for the disk. A crash of Postgres may then lose it, but never
        out of order, and a lost claim or stage is one that the sweep requeues. What a caller was promised
        (an acceptance, an end) is committed durably.
        """
        with self._sessions.begin() as session:
            if durable:
                session.execute(_DURABLE)
            yield session

    @contextmanager
    def statement(self) -> Iterator[Session]:
        """A session for one statement, which is a transaction by itself: no round trips for BEGIN and COMMIT.

        Not durable in the sense of `transaction`. Most claims and requeues are one statement.
        """
        with self._statements() as session:
            yield session

    def close(self) -> None:
        """Closes every pooled connection."""
        self.engine.dispose()


# The newest revision in alembic/versions, which the API does not carry; a test compares.
SCHEMA_HEAD = "0001"


def schema_revision(session: Session) -> str | None:
    """The revision that Postgres is at; None for an empty database."""
    if session.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    found: str | None = session.scalar(text("SELECT version_num FROM alembic_version"))
    return found
