"""Images that are given by their address: fetched by a worker, as if they had been uploaded, or the reason why not."""

import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app.db.models import BlobReference, JobStatus, Stage
from app.jobs import repository
from tests.app.egress.site import Site, reply, serve
from tests.app.images import encoded, noise
from tests.workers.harness import Bench
from tests.workers.processes import until
from tests.workers.test_story import THREE, Make

IMAGE = encoded(noise(80, 60), "JPEG")


@pytest.fixture
def site() -> Iterator[Site]:
    """A server on loopback that holds an image."""
    with serve() as running:
        running.answers["/image"] = reply(IMAGE, content_type="text/plain")
        yield running


@pytest.fixture
def here(bench: Make) -> Bench:
    """A worker that may fetch from loopback."""
    return bench(THREE, outbound={"allow": ["127.0.0.1"], "total_timeout": 2}, job={"attempts": 2})


def problem(here: Bench, job_id: uuid.UUID) -> dict[str, Any]:
    """How a job has failed."""
    document = here.document(job_id)
    assert document.status == JobStatus.FAILED
    assert document.error is not None
    return document.error


def stored(here: Bench) -> int:
    """How many files lie in the blob store."""
    return sum(len(portion) for portion in here.process.storage.blobs.listed(timedelta(0)))


def test_an_image_is_fetched_and_then_treated_like_any_other(here: Bench, site: Site) -> None:
    """The row is as if the image had been uploaded, both files are stored, and the job succeeds."""
    job_id = here.submit_url(site.url("/image"))
    assert here.document(job_id).image is None
    here.run()
    document = here.document(job_id)
    assert document.status == JobStatus.SUCCEEDED
    assert set(document.timings) == {stage.value for stage in Stage}
    assert document.image is not None
    assert (document.image.format, document.image.width, document.image.height) == ("JPEG", 80, 60)
    assert document.image.size == len(IMAGE)
    with here.process.storage.database.transaction() as session:
        roles = session.execute(
            select(BlobReference.role, BlobReference.sha256).where(BlobReference.job_id == job_id)
        ).all()
    kept = {role: here.process.storage.blobs.get(here.job(job_id).tenant_id, sha256) for role, sha256 in roles}
    assert kept["original"] == IMAGE
    assert kept["query"].startswith(b"BM")


def test_evidence_in_the_file_is_read(here: Bench, site: Site) -> None:
    """Evidence comes out of the same children as for an upload."""
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("parameters", "a hat\nSteps: 20, Sampler: Euler a, Seed: 7, Model: dreamshaper")
    site.answers["/made"] = reply(encoded(noise(), "PNG", pnginfo=text))
    job_id = here.submit_url(site.url("/made"))
    here.run()
    assert "dreamshaper" in {finding.model for finding in here.document(job_id).evidence}


@pytest.mark.parametrize(
    ("answer", "slug"),
    [
        (reply(b"gone", 404), "fetch-failed"),
        (reply(b"", 302, location="http://169.254.169.254/latest"), "fetch-failed"),
        (reply(b"<html>please log in</html>"), "unsupported-image"),
        (reply(IMAGE[:200]), "undecodable-image"),
        (reply(b""), "undecodable-image"),
        (reply(content_length="99999999999"), "fetch-too-large"),
    ],
)
def test_what_will_not_get_better_ends_the_job_at_once(here: Bench, site: Site, answer: bytes, slug: str) -> None:
    """Each with a problem type of its own, and a sentence; nothing is stored."""
    site.answers["/bad"] = answer
    job_id = here.submit_url(site.url("/bad"))
    here.run()
    assert problem(here, job_id)["type"] == f"/problems/{slug}"
    assert here.job(job_id).attempt == 0
    assert here.document(job_id).image is None
    assert stored(here) == 0


def test_an_address_inside_is_refused(bench: Make, site: Site) -> None:
    """Whatever the API let pass: the worker judges the address that it connects to."""
    here = bench(THREE)
    job_id = here.submit_url(site.url("/image", host="localhost"))
    here.run()
    here.pass_time(3_600)
    here.sweep()
    assert here.document(job_id).status == JobStatus.FAILED
    assert site.connections == 0


def fails_once(image: bytes) -> Callable[[socket.socket], None]:
    """A script that answers 503 the first time."""
    answers = [reply(b"", 503), reply(image)]
    return lambda channel: channel.sendall(answers.pop(0))


def test_an_error_that_may_pass_is_retried(here: Bench, site: Site) -> None:
    """An overloaded server is called once more, after the sweep requeued the job; then the job succeeds."""
    site.answers["/busy"] = fails_once(IMAGE)
    job_id = here.submit_url(site.url("/busy"))
    here.run()
    assert (here.job(job_id).status, here.job(job_id).stage) == (JobStatus.PROCESSING, Stage.FETCHING)
    here.pass_time(60)
    here.sweep()
    here.run()
    assert here.document(job_id).status == JobStatus.SUCCEEDED


def test_what_does_not_get_better_ends_with_its_own_reason(here: Bench, site: Site) -> None:
    """After the last attempt the error is that the address does not answer, not that a stage failed."""
    site.answers["/busy"] = reply(b"", 503)
    job_id = here.submit_url(site.url("/busy"))
    for _ in range(2):
        here.run()
        here.pass_time(60)
        here.sweep()
    error = problem(here, job_id)
    assert error["type"] == "/problems/address-unavailable"
    assert "503" in error["detail"]


def test_a_slow_drip_is_given_up(here: Bench, site: Site) -> None:
    """A byte now and then does not hold a worker for longer than the whole may take."""

    def drip(channel: socket.socket) -> None:
        channel.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            channel.sendall(b"x")
            time.sleep(0.1)

    site.answers["/drip"] = drip
    job_id = here.submit_url(site.url("/drip"))
    began = time.monotonic()
    here.run()
    assert 1.5 < time.monotonic() - began < 6
    assert here.job(job_id).stage == Stage.FETCHING


def test_a_job_that_waits_for_its_image_keeps_its_deadline(here: Bench) -> None:
    """Also if no worker ever fetches it."""
    job_id = here.submit_url("http://127.0.0.1:1/", deadline=timedelta(seconds=30))
    here.broker.steps.clear()
    here.pass_time(31)
    here.sweep()
    assert problem(here, job_id)["type"] == "/problems/deadline-exceeded"


def test_a_job_canceled_while_its_image_is_fetched_stays_so(here: Bench, site: Site) -> None:
    """What was fetched too late is stored nowhere."""
    job_id = here.submit_url(site.url("/slow"))

    def cancel_meanwhile(channel: socket.socket) -> None:
        with here.process.storage.database.transaction() as session:
            assert repository.mark_canceled(session, here.job(job_id).tenant_id, job_id) is not None
        channel.sendall(reply(IMAGE))

    site.answers["/slow"] = cancel_meanwhile
    here.run()
    job = here.job(job_id)
    assert (job.status, job.image) == (JobStatus.CANCELED, None)
    assert stored(here) == 0


def test_one_slow_address_does_not_keep_the_pool(here: Bench, site: Site) -> None:
    """Fetching has threads of its own; fetches that have not begun when the process closes are dropped."""
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def work() -> None:
        begun.set()
        go_on.wait(10)
        done.append("first")

    here.process.fetcher.threads.submit(work)
    assert begun.wait(5)
    for _ in range(40):
        here.process.fetcher.threads.submit(lambda: done.append("late") if go_on.wait(10) else None)
    closing = threading.Thread(target=here.process.fetcher.close)
    closing.start()
    until(lambda: here.process.fetcher.threads.closed)
    go_on.set()
    closing.join(10)
    assert not closing.is_alive()
    assert done.count("first") == 1
    assert done.count("late") == 31


def test_a_decoding_child_of_a_worker_is_as_small_as_the_apis(here: Bench, site: Site) -> None:
    """It does not load the service, whatever the worker's own program is."""
    script = (
        "import runpy, sys\n"
        "runpy.run_path('workers/__main__.py', run_name='__mp_main__')\n"
        "print(*{name.split('.')[0] for name in sys.modules})\n"
    )
    root = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert not {"app", "celery", "sqlalchemy"} & set(ran.stdout.split())
