"""docs/runbook.md: the commands that it lists work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

REPOSITORY = Path(__file__).parents[2]
TEXT = (REPOSITORY / "docs" / "runbook.md").read_text()
QUERIES = re.findall(r"^```sql\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^    python (-m app .*|-c \".*\")$", TEXT, re.MULTILINE)


@pytest.mark.parametrize("query", QUERIES)
def test_queries_can_be_asked(migrated, query):
    """Against the schema as it is; they only read."""
    with psycopg.connect(migrated.database_url) as connection:
        connection.read_only = True
        connection.execute(query).fetchall()


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_understood(migrated, command):
    """Each ends well, or says of a made-up id that there is none."""
    given = command.replace('"$KEY_ID"', "00000000-0000-7000-8000-000000000000").replace("python ", "")
    environment = os.environ | {"DATABASE__URL": migrated.database_url, "REDIS__URL": migrated.redis_url}
    line = f"{sys.executable} {given}"
    found = subprocess.run(["sh", "-c", line], cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert "usage:" not in found.stderr
    assert found.returncode == 0 or "There is no" in found.stderr, found.stderr


def test_routes_exist():
    """Every path that curl is given is one that the API has."""
    from app.api import create_app
    from app.settings import Settings

    app = create_app(Settings(database={"url": "postgresql://x@localhost/x"}, redis={"url": "redis://localhost/0"}))
    known = {re.sub(r"\{\w+\}", "*", path) for path in app.openapi()["paths"]} | {"/metrics"}
    asked = re.findall(r'^    curl .*"\$API([^"?]*)', TEXT, re.MULTILINE)
    assert {re.sub(r"\$\w+", "*", path) for path in asked} <= known
    assert len(asked) > 8
