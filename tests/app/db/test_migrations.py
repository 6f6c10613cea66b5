"""The migrations: from empty to head and back, and nothing in the models that they do not make."""

from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

import devstack
from tests.conftest import alembic

NAME = "migrations"


@pytest.fixture
def empty(servers: devstack.Servers) -> Iterator[str]:
    """The URL of a database of its own, without a table."""
    url = urlunsplit(urlsplit(servers.database_url)._replace(path=f"/{NAME}"))
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(NAME)))
        yield url
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(NAME)))


def tables(url: str) -> set[str]:
    """What lies in the public schema."""
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {name for (name,) in rows}


def test_up_down_and_up_again(servers: devstack.Servers, empty: str) -> None:
    """From empty to head and back leaves nothing but alembic's own table, and going up again works."""
    alembic(servers, "upgrade", "head", database_url=empty)
    made = tables(empty)
    alembic(servers, "downgrade", "base", database_url=empty)
    assert tables(empty) == {"alembic_version"}
    alembic(servers, "upgrade", "head", database_url=empty)
    assert tables(empty) == made >= {"tenants", "jobs", "job_sources", "blobs", "blob_references"}


def test_the_models_and_the_migrations_agree(servers: devstack.Servers, empty: str) -> None:
    """Alembic finds nothing in the models that the migrations did not make."""
    alembic(servers, "upgrade", "head", database_url=empty)
    alembic(servers, "check", database_url=empty)


def test_every_row_belongs_to_a_tenant(servers: devstack.Servers, empty: str) -> None:
    """Every table but the tenants' own has a tenant_id that cannot be null, and the default tenant exists.

    The exceptions: parts of a row that has one, lists and rules that may be everybody's, what the operator did, and
    what the installation works with.
    """
    alembic(servers, "upgrade", "head", database_url=empty)
    with psycopg.connect(empty) as connection:
        owned = connection.execute(
            "SELECT table_name FROM information_schema.columns WHERE column_name = 'tenant_id' AND is_nullable = 'NO'"
        )
        parts = {"hash_list_entries", "webhook_attempts"}
        shared = {"hash_lists", "text_rules", "audit_log", "active_pipelines"}
        shared |= {"bank_contributions", "bank_bases", "bank_snapshots"}
        assert {name for (name,) in owned} == tables(empty) - {"tenants", "alembic_version"} - parts - shared
        assert connection.execute("SELECT name FROM tenants").fetchall() == [("default",)]
