"""The finished jobs that `make bench-api` inserts by SQL are jobs that the API can read."""

from fastapi.testclient import TestClient

from app.settings import Settings
from perf.api import SOURCES, seed


def test_a_seeded_job_is_read_like_any_other(client: TestClient, settings: Settings):
    """Without a snapshot, so that the rows themselves are read."""
    ids = seed(settings.database.url.get_secret_value(), 3)
    assert len(ids) == 3
    answer = client.get(f"/attribute/{ids[0]}")
    assert answer.status_code == 200, answer.text
    assert [len(each["generated_images"]) for each in answer.json()["sources"]] == [4] * SOURCES
    assert len(client.get("/attribute").json()["jobs"]) == 3
