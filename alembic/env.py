"""Runs the migrations against the database that the service's own settings name."""

from alembic import context
from sqlalchemy import text

from app.db.database import connect
from app.db.models import Base
from app.db.roles import grant_application_role
from app.settings import load_settings

# Two processes that start together must not migrate together; any number will do as the lock's key.
MIGRATION_LOCK = 7_271_910


def run() -> None:
    """Upgrades or downgrades in one transaction, alone."""
    settings = load_settings().database
    engine, role = connect(settings, limited=False), settings.application_role
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata, compare_type=True)
        with context.begin_transaction():
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            context.run_migrations()
            if role is not None and context.get_head_revision() is not None:
                grant_application_role(connection, role)
    engine.dispose()


run()
