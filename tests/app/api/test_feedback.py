"""POST /attribute/{id}/feedback: the true source is stored with the job, changes nothing, and is deleted with it."""

import json
import uuid
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from app.cli import main
from app.db.database import Database
from app.db.models import Feedback
from tests.app.worker import accept, end


def test_the_latest_feedback_counts(client: TestClient, database: Database):
    """A source of the catalog or a name of the caller's own; the job's document does not change."""
    job_id = accept(database)
    before = client.get(f"/attribute/{job_id}").content
    url = f"/attribute/{job_id}/feedback"
    assert client.get(url).status_code == 404
    first = client.post(url, json={"source": " ant ", "note": "The author said so.\nIn an email."})
    assert (first.status_code, first.json()["source"], first.json()["in_catalog"]) == (200, "ant", True)
    assert client.get(url).json() == first.json()
    again = client.post(url, json={"source": "a photograph"})
    assert (again.json()["source"], again.json()["in_catalog"], again.json()["note"]) == ("a photograph", False, None)
    assert again.json()["created_at"] > first.json()["created_at"]
    assert client.get(url).json() == again.json()
    assert client.get(f"/attribute/{job_id}").content == before


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/source"),
        ({"source": ""}, "#/source"),
        ({"source": "  "}, "#/source"),
        ({"source": "x" * 101}, "#/source"),
        ({"source": "a\0b"}, "#/source"),
        ({"source": 7}, "#/source"),
        ({"source": "ant", "note": "x" * 2_001}, "#/note"),
        ({"source": "ant", "note": "\0"}, "#/note"),
        ({"source": "ant", "color": "red"}, "#/color"),
    ],
)
def test_an_invalid_member_is_named(client: TestClient, database: Database, body: dict[str, Any], pointer: str):
    """422 with a pointer, and nothing is stored."""
    answer = client.post(f"/attribute/{accept(database)}/feedback", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(Feedback)) == 0


def test_a_body_that_is_too_long_is_refused(client: TestClient, database: Database):
    """413 as a problem."""
    answer = client.post(f"/attribute/{accept(database)}/feedback", json={"source": "x" * 1_000_000})
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/upload-too-large")


def test_feedback_is_deleted_with_its_job(client: TestClient, database: Database):
    """A deleted job and an unknown one accept none and have none."""
    job_id = accept(database)
    client.post(f"/attribute/{job_id}/feedback", json={"source": "ant", "note": "private"})
    client.delete(f"/attribute/{job_id}")
    for wanted, status in ((job_id, 410), (uuid.uuid4(), 404)):
        url = f"/attribute/{wanted}/feedback"
        assert client.get(url).status_code == status
        assert client.post(url, json={"source": "ant"}).status_code == status
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(Feedback)) == 0


def test_the_command_line_exports_feedback(
    client: TestClient,
    database: Database,
    settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """A line of JSON per job that has a result, with the result beside the true source."""
    answered, waiting = accept(database), accept(database)
    end(database, None, answered)
    for job_id in (answered, waiting):
        client.post(f"/attribute/{job_id}/feedback", json={"source": "ant"})
    monkeypatch.setattr("app.commands.session.load_settings", lambda: settings)
    assert main(["feedback", "export"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    exported = json.loads(line)
    assert (exported["job"], exported["source"], exported["in_catalog"]) == (str(answered), "ant", True)
    assert exported["result"]["verdict"]["kind"] == "inconclusive"
