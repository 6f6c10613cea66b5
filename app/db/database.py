"""Sessions over Postgres: one engine per process, one transaction per request or step; and the schema's revision."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, cast

from psycopg import OperationalError
from sqlalchemy import Connection, create_engine, event, make_url, text
from sqlalchemy.engine import Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from app.db.connections import Connector, LimitedConnection
from app.settings import DatabaseSettings

# Made once: making it anew cost more than running it.
_DURABLE = text("SET LOCAL synchronous_commit = on")
# A connection that was used this recently is not checked.
IDLE_SECONDS = 1.0
# How long Postgres may take to respond to that check.
_PING_SECONDS = 2.0
# Longer than Postgres allows a statement: a Postgres that responds is the one to end it.
_GRACE_SECONDS = 2.0
# A host that vanished is noticed while a connection is idle, and while what it sent is not acknowledged.
_TCP = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


def connect(settings: DatabaseSettings, *, limited: bool = True) -> Engine:
    """An engine over psycopg 3, its pool sized by the settings; nothing connects yet.

    Without `limited`, as migrations need it, a statement may take any time.
    """
    seconds = settings.statement_timeout.total_seconds()
    parameters = {
        "statement_timeout": f"{seconds * 1000:.0f}" if limited else "0",
        # No transaction holds a row lock this long; that of a lost client is ended.
        "lock_timeout": "10s" if limited else "0",
        "idle_in_transaction_session_timeout": "60s",
        "timezone": "UTC",
        # `Database.transaction` waits for the disk where a promise depends on it.
        "synchronous_commit": "off",
    }
    options: dict[str, Any] = {"prepare_threshold": 5 if settings.prepared_statements else None}
    if not settings.pooler:
        options["options"] = " ".join(f"-c {name}={value}" for name, value in parameters.items())
    engine = create_engine(
        make_url(settings.url.get_secret_value()).set(drivername="postgresql+psycopg"),
        # A failing statement is logged; captions and keys that it was given are not.
        hide_parameters=True,
        pool_size=settings.pool_size,
        max_overflow=settings.max_overflow,
        pool_timeout=settings.connect_timeout.total_seconds(),
        # The connection that was used last knows most statements already; the others' turn comes when it is taken.
        pool_use_lifo=True,
        connect_args={**_TCP, **options, "connect_timeout": max(2, round(settings.connect_timeout.total_seconds()))},
        execution_options={_POOLER: settings.pooler},
    )
    event.listen(engine, "do_connect", Connector(seconds + _GRACE_SECONDS if limited else None).connect)
    event.listen(engine, "checkin", _note_use)
    event.listen(engine, "checkout", _ping_if_idle)
    if settings.pooler:
        # The session belongs to the pooler, and serves other clients in between.
        sets = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in parameters.items())
        event.listen(engine, "begin", partial(_execute, f"SELECT {sets}"))
    return engine


# The execution option of an engine whose sessions are a pooler's.
_POOLER = "whodrew_pooler"


def _execute(statement: str, connection: Connection) -> None:
    connection.exec_driver_sql(statement)


def _note_use(connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
    record.info["used"] = time.monotonic()


def _ping_if_idle(connection: DBAPIConnection, record: ConnectionPoolEntry, _: object) -> None:
    """Checks a connection that was idle; checking each time cost a job 3 ms.

    Outside a transaction: at a ROLLBACK psycopg discards all statements that it has prepared, and the next request
    after a quiet second would have them all parsed and planned again.
    """
    if time.monotonic() - record.info.get("used", time.monotonic()) < IDLE_SECONDS:
        return
    driver = cast(LimitedConnection, connection)
    try:
        before, driver.autocommit = driver.autocommit, True
        with _limited(driver, _PING_SECONDS):
            driver.execute("").close()
        driver.autocommit = before
    except OperationalError as error:
        raise InvalidatePoolError from error  # the pool drops all that it has, and opens others


@contextmanager
def _limited(driver: LimitedConnection, seconds: float) -> Iterator[None]:
    before, driver.limit = driver.limit, seconds
    try:
        yield
    finally:
        driver.limit = before


class Database:
    """Opens sessions. The block is the transaction: it commits at the end and rolls back on an error."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._sessions = sessionmaker(engine, expire_on_commit=False, autoflush=False)
        # Behind a pooler a statement is a transaction like any other, for the sake of its parameters.
        self._statements = (
            self._sessions
            if engine.get_execution_options()[_POOLER]
            else sessionmaker(
                engine.execution_options(isolation_level="AUTOCOMMIT"), expire_on_commit=False, autoflush=False
            )
        )

    @contextmanager
    def transaction(self, *, durable: bool = True, limit: float | None = None) -> Iterator[Session]:
        """A session that commits at the end of the block. `limit`: of its statements, in seconds, if not the usual.

        With `durable=False` the commit does not wait for the disk. A crash of Postgres may then lose it, but never
        out of order, and a lost claim or stage is one that the sweep requeues. What a caller was promised
        (an acceptance, an end) is committed durably.
        """
        with self._sessions.begin() as session, ExitStack() as stack:
            if limit is not None:
                driver = session.connection().connection.driver_connection
                stack.enter_context(_limited(cast(LimitedConnection, driver), limit + _GRACE_SECONDS))
                session.execute(text(f"SET LOCAL statement_timeout = {limit * 1000:.0f}"))
            if durable:
                session.execute(_DURABLE)
            yield session

    @contextmanager
    def statement(self) -> Iterator[Session]:
        """A session for one statement, which is a transaction by itself: no round trips for BEGIN and COMMIT.

        Not durable in the sense of `transaction`. Most claims and requeues are one statement.
        """
        with self._statements.begin() as session:
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
