"""What the service's own role in Postgres may do, where it is not the owner of the tables.

The owner migrates. The service's role reads and writes rows, alters no table, and can only add to the audit log: an
attacker who runs code in a process of the service cannot remove traces there. Old entries are deleted by a function
of the owner's, which refuses the last 30 days.
"""

from sqlalchemy import Connection, text


def grant_application_role(connection: Connection, role: str) -> None:
    """Grants an existing role what the service needs, and takes away what it does not. May be repeated."""
    quote = connection.dialect.identifier_preparer.quote
    name, schema = quote(role), quote(connection.scalars(text("SELECT current_schema()")).one())
    for statement in (
        f"GRANT USAGE ON SCHEMA {schema} TO {name}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {name}",
        f"REVOKE UPDATE, DELETE, TRUNCATE ON audit_log FROM {name}",
        f"REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON alembic_version FROM {name}",
        f"GRANT EXECUTE ON FUNCTION delete_old_audit_entries TO {name}",
    ):
        connection.execute(text(statement))
