"""A process that gets SIGTERM responds to waiting requests at once, so that clients can ask another."""

import os
import signal
import threading
import time

import httpx

from app.db.database import Database
from tests.app.api.test_process import Api, api  # noqa: F401 - a fixture
from tests.app.worker import accept


def test_waiting_requests_get_a_response_when_the_process_stops(api: Api, database: Database, key: str):  # noqa: F811
    """A wait ends with the job's current state, a stream ends, and the process exits long before their time limits."""
    job_id = accept(database)
    found: dict[str, httpx.Response] = {}
    with httpx.Client(base_url=api.url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:

        def ask(name: str, path: str, **headers: str) -> None:
            found[name] = client.get(path, headers=headers)

        threads = [
            threading.Thread(target=ask, args=("wait", f"/attribute/{job_id}"), kwargs={"prefer": "wait=50"}),
            threading.Thread(target=ask, args=("events", f"/attribute/{job_id}/events")),
        ]
        for thread in threads:
            thread.start()
        time.sleep(2)
        assert not found
        before = time.monotonic()
        os.kill(api.pid, signal.SIGTERM)
        for thread in threads:
            thread.join()
    assert time.monotonic() - before < 10
    assert (found["wait"].status_code, found["wait"].json()["status"]) == (200, "queued")
    assert found["events"].text.startswith("event: stage\n")
