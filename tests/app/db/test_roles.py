"""The service's role in Postgres: what it can do, and what it cannot."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr
from sqlalchemy import make_url, select, text
from sqlalchemy.exc import ProgrammingError

from app.access import audit
from app.api import create_app
from app.db.database import Database, connect
from app.db.models import DEFAULT_TENANT, AuditEntry
from app.db.roles import grant_application_role
from app.jobs import table_retention
from app.settings import Settings
from tests.app.images import encoded

ROLE, PASSWORD = "service role", "a password"


@pytest.fixture
def restricted(database: Database, settings: Settings) -> Iterator[Settings]:
    """The settings of processes that connect as a role which the migration granted what it needs, twice."""
    with database.engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE \"{ROLE}\" LOGIN PASSWORD '{PASSWORD}'"))
        for _ in range(2):
            grant_application_role(connection, ROLE)
    url = make_url(settings.database.url.get_secret_value()).set(username=ROLE, password=PASSWORD)
    given = SecretStr(url.render_as_string(hide_password=False))
    yield settings.model_copy(update={"database": settings.database.model_copy(update={"url": given})})
    with database.engine.begin() as connection:
        connection.execute(text(f'DROP OWNED BY "{ROLE}"'))
        connection.execute(text(f'DROP ROLE "{ROLE}"'))


@pytest.fixture
def as_service(restricted: Settings) -> Iterator[Database]:
    """Connections of the service's role."""
    opened = Database(connect(restricted.database))
    yield opened
    opened.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET actor = 'other'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "DROP TABLE audit_log",
        "ALTER TABLE jobs ADD COLUMN x text",
        "CREATE TABLE x (y text)",
        "UPDATE alembic_version SET version_num = '0000'",
    ],
)
def test_it_can_neither_remove_traces_nor_alter_tables(as_service: Database, statement: str) -> None:
    """Postgres refuses each of these."""
    with as_service.transaction() as session:
        audit.record(session, DEFAULT_TENANT, "test", "made", "x")
    with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"), as_service.transaction() as session:
        session.execute(text(statement))
    with as_service.transaction() as session:
        assert session.scalars(select(AuditEntry.actor)).all() == ["test"]


def test_it_can_do_what_the_service_does(restricted: Settings, as_service: Database, key: str, redis: object) -> None:
    """An image is accepted, read and deleted, and retention runs, without being the tables' owner."""
    from fastapi.testclient import TestClient

    headers = {"Authorization": f"Bearer {key}"}
    with TestClient(create_app(restricted), raise_server_exceptions=False, headers=headers) as client:
        posted = client.post("/attribute", files={"image": encoded()})
        assert posted.status_code == 202
        assert client.get(posted.headers["location"]).status_code == 200
        assert client.delete(posted.headers["location"]).status_code == 204
        assert client.get("/readyz").status_code == 200
    with as_service.transaction() as session:
        assert table_retention.delete_audit_entries(session, restricted.retention.audit) == 0
