"""What the demo asks of the service and what it prints: tried on a stand-in that answers from a script."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from devstack.console import Progress, show_result
from devstack.demo import waiting
from devstack.service_client import RequestRefused, ServiceClient

SOURCES: list[dict[str, Any]] = [
    {"source": "zoo-dit", "state": "pending", "reason": None},
    {"source": "old", "state": "retired", "reason": "gone"},
]
QUEUED = {"id": "7", "status": "queued", "stage": "captioning", "sources": SOURCES, "result": None, "error": None}
RESULT = {
    "caption": "a face [smiling]",
    "captioner": "blip@1",
    "distance": "cosine",
    "ranking": [
        {
            **{"source": "zoo-dit", "family": "dit", "distance": 0.125, "score": 0.75, "distances": [0.1, 0.15]},
            **{"match": -3.0, "probability": 0.875},
        }
    ],
    "estimate": {"prediction_set": ["zoo-dit"], "coverage": 0.9, "fit": -0.25},
    "images_per_source": 4,
    "race": {"rounds": [{"images": 1}, {"images": 2}], "end": "one_left"},
    "margin": 0.0625,
    "verdict": {
        **{"kind": "attributed", "source": "zoo-dit", "sources": [], "reason": None},
        "measured": {"queries": 200, "named": 0.5, "right": 0.96},
    },
}
DONE = {
    **QUEUED,
    "status": "succeeded",
    "stage": None,
    "sources": [{**SOURCES[0], "state": "done"}, SOURCES[1]],
    "result": RESULT,
    "timings": {"captioning": 0.5},
}
FAILED = {**QUEUED, "status": "failed", "stage": None, "error": {"detail": "it crashed five times"}}


class StandIn(BaseHTTPRequestHandler):
    """Accepts an upload, answers the first poll with a queued job, later ones with its end; refuses other paths."""

    polls = 0

    def do_POST(self) -> None:
        """An upload."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        accepted = b'name="image"; filename="face.png"' in body and b"pixels" in body
        accepted = accepted and self.headers["Authorization"] == "Bearer wd_key"
        self._answer(202 if accepted else 422, QUEUED)

    def do_GET(self) -> None:
        """A poll."""
        type(self).polls += 1
        self._answer(200 if self.path == "/attribute/7" else 404, QUEUED if self.polls == 1 else DONE)

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Location", "/attribute/7")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[str]:
    """The stand-in's base URL."""
    StandIn.polls = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def console() -> Console:
    """A console that is no terminal; what was printed is in its `file`."""
    return Console(file=io.StringIO(), width=120)


def printed(console: Console) -> str:
    """What a reader would see."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_an_image_is_followed_to_its_end(service: str, console: Console, tmp_path: Path) -> None:
    """Upload, polls until the job has ended, one printed line per change."""
    image = tmp_path / "face.png"
    image.write_bytes(b"pixels")
    with ServiceClient(service, "wd_key") as client, Progress(console) as progress:
        location, _ = client.submit(image)
        jobs = []
        for job in client.follow(location, patience=30):
            progress.job(job)
            progress.job(job)
            jobs.append(job)
    assert jobs == [QUEUED, DONE]
    assert printed(console).splitlines() == [
        "queued, captioning: sources 1 pending, 1 retired",
        "succeeded: sources 1 done, 1 retired",
    ]


def test_a_refusal_is_said(service: str, tmp_path: Path) -> None:
    """A problem of the service ends the demo with the service's words."""
    image = tmp_path / "other.png"
    image.write_bytes(b"")
    with ServiceClient(service, "wd_key") as client:
        with pytest.raises(RequestRefused, match="422"):
            client.submit(image)
        with pytest.raises(RequestRefused, match="404"):
            list(client.follow("/attribute/8", patience=1))


def test_the_result_has_everything(console: Console) -> None:
    """Caption (brackets too), ranking with probability and each distance, set, verdict, what was not ranked and why."""
    show_result(console, DONE)
    text = printed(console)
    for piece in ("a face [smiling]", "cosine distance", "zoo-dit", "0.1250", "0.875", "0.100 0.150", "0.0625"):
        assert piece in text
    assert "zoo-dit (with 90%; fit -0.2)" in text
    assert "images    2 of at most 8, in 2 rounds (one_left)" in text
    assert "attributed: zoo-dit (96% of 100 such verdicts were right)" in text
    assert "old, retired: gone" in text
    assert "captioning 0.50" in text


def test_a_failed_job_says_why(console: Console) -> None:
    """Without a result the problem is what there is to show."""
    show_result(console, FAILED)
    assert "The job failed: it crashed five times" in printed(console)


def test_waiting_names_what_is_missing() -> None:
    """While it warms up, the line says what /readyz says."""
    assert waiting({}) == "waiting for the API"
    workers = {"status": "down", "warm": {"light": 1, "caption": 0, "local": 0}}
    checks = {"redis": {"status": "ok"}, "workers": workers}
    assert waiting({"status": "degraded", "checks": checks}) == "waiting for the caption worker, the local worker"
    checks = {"redis": {"status": "down"}, "workers": {"status": "down"}}
    assert waiting({"status": "degraded", "checks": checks}) == "waiting for redis, workers"
