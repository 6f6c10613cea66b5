"""Images given by their address: a worker fetches, decodes and screens them, or the job has the reason why not."""

import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import select, update

from app.db.models import DEFAULT_TENANT, BlobReference, Job, JobStatus, Stage, Tenant, TenantVolume
from app.jobs import service
from app.queue.steps import stage_step
from tests.app.egress.site import Site, reply, serve
from tests.app.images import encoded, noise
from tests.waiting import wait_until
from tests.workers.harness import Bench
from tests.workers.test_story import THREE, Make
from workers.screening import Hit, QueryImage, ScreenedCaption
from workers.stages import run_stage, stage_works

IMAGE = encoded(noise(80, 60), "JPEG")


@pytest.fixture
def site() -> Iterator[Site]:
    """A server on loopback that serves an image."""
    with serve() as running:
        running.answers["/image"] = reply(IMAGE, content_type="text/plain")
        yield running


@pytest.fixture
def here(bench: Make) -> Bench:
    """A worker that may fetch from loopback."""
    return bench(THREE, egress={"allow": ["127.0.0.1"], "total_timeout": 2}, job={"attempts": 2})


def problem(here: Bench, job_id: uuid.UUID) -> dict[str, Any]:
    """The problem with which a job failed."""
    document = here.document(job_id)
    assert document.status == JobStatus.FAILED
    assert document.error is not None
    return document.error


class UnavailableOnce:
    """A screening hook that raises an error for the first image, and then lets all pass."""

    def __init__(self) -> None:
        self.images = 0

    def check_image(self, query: QueryImage) -> Hit | None:
        """Raises the first time."""
        self.images += 1
        if self.images == 1:
            raise ConnectionError("the service behind this hook does not answer")
        return None

    def check_caption(self, caption: ScreenedCaption) -> Hit | None:
        """Lets all captions pass."""
        return None


class RefusesAll:
    """A screening hook that refuses every image."""

    def check_image(self, query: QueryImage) -> Hit | None:
        """Refuses."""
        return Hit("shape", "any", "No images are accepted.")

    def check_caption(self, caption: ScreenedCaption) -> Hit | None:
        """Lets all captions pass."""
        return None


UNAVAILABLE_ONCE, REFUSES_ALL = UnavailableOnce(), RefusesAll()


def decodings() -> float:
    """How many files were decoded in this process's children."""
    return REGISTRY.get_sample_value("image_decode_duration_seconds_count") or 0.0


def stored(here: Bench) -> int:
    """The number of files in the blob store."""
    return sum(len(portion) for portion in here.process.storage.blobs.listed(timedelta(0)))


def test_an_image_is_fetched_and_then_processed_like_an_upload(here: Bench, site: Site) -> None:
    """Its row has the same values, both files are kept, and the job succeeds."""
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


def test_a_fetched_image_is_decoded_once(here: Bench, site: Site) -> None:
    """The process that fetched it screens it with the canonical image that it has; captioning is enqueued then."""
    before = decodings()
    job_id = here.submit_url(site.url("/image"))
    here.deliver(here.broker.steps.popleft())
    assert decodings() - before == 1
    assert list(here.broker.steps) == [stage_step(Stage.CAPTIONING, job_id)]
    assert here.job(job_id).query_blob is not None


def test_a_fetched_image_that_could_not_be_screened_is_decoded_again_later(bench: Make, site: Site) -> None:
    """Screening is a step of its own: tried again, it reads the stored file, whichever process has it then."""
    hooks = {"hooks": [f"{__name__}:UNAVAILABLE_ONCE"]}
    here = bench(THREE, egress={"allow": ["127.0.0.1"]}, screening=hooks)
    before = decodings()
    job_id = here.submit_url(site.url("/image"))
    here.run()
    assert (here.job(job_id).stage, here.job(job_id).query_blob) == (Stage.SCREENING, None)
    here.pass_time(60)
    here.sweep()
    here.run()
    assert here.document(job_id).status == JobStatus.SUCCEEDED
    assert decodings() - before == 2
    assert site.connections == 1


def test_a_fetched_image_that_screening_refuses_is_not_kept(bench: Make, site: Site) -> None:
    """Neither the file nor the canonical image stays in the store."""
    here = bench(THREE, egress={"allow": ["127.0.0.1"]}, screening={"hooks": [f"{__name__}:REFUSES_ALL"]})
    job_id = here.submit_url(site.url("/image"))
    here.run()
    assert problem(here, job_id)["type"] == "/problems/screening-refused"
    assert stored(here) == 0


def test_the_evidence_in_a_fetched_file_is_found(here: Bench, site: Site) -> None:
    """As in an uploaded file."""
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
        (reply(b"<html>please log in</html>"), "fetch-failed"),
        (reply(b"plain text"), "unsupported-image"),
        (reply(IMAGE[:200]), "undecodable-image"),
        (reply(b""), "undecodable-image"),
        (reply(content_length="99999999999"), "fetch-too-large"),
    ],
)
def test_a_permanent_error_ends_the_job_at_once(here: Bench, site: Site, answer: bytes, slug: str) -> None:
    """Each has its own problem type and a sentence; nothing is stored."""
    site.answers["/bad"] = answer
    job_id = here.submit_url(site.url("/bad"))
    here.run()
    assert problem(here, job_id)["type"] == f"/problems/{slug}"
    assert here.job(job_id).attempt == 0
    assert here.document(job_id).image is None
    assert stored(here) == 0


def test_a_private_address_is_refused(bench: Make, site: Site) -> None:
    """Whatever the API accepted: the worker checks the address that it connects to."""
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


def test_a_temporary_error_is_tried_again(here: Bench, site: Site) -> None:
    """An overloaded server is called again after a while, by the sweep; then the job succeeds."""
    site.answers["/busy"] = fails_once(IMAGE)
    job_id = here.submit_url(site.url("/busy"))
    here.run()
    assert (here.job(job_id).status, here.job(job_id).stage) == (JobStatus.PROCESSING, Stage.FETCHING)
    here.pass_time(60)
    here.sweep()
    here.run()
    assert here.document(job_id).status == JobStatus.SUCCEEDED


def test_a_temporary_error_that_stays_is_the_reason_of_the_failure(here: Bench, site: Site) -> None:
    """After the last attempt the job says that the address does not answer, not that a stage failed."""
    site.answers["/busy"] = reply(b"", 503)
    job_id = here.submit_url(site.url("/busy"))
    for _ in range(2):
        here.run()
        here.pass_time(60)
        here.sweep()
    error = problem(here, job_id)
    assert error["type"] == "/problems/address-unavailable"
    assert "503" in error["detail"]


def test_a_slow_response_is_given_up(here: Bench, site: Site) -> None:
    """A byte now and then does not occupy a worker for longer than the whole response may take."""

    given_up = threading.Event()

    def drip(channel: socket.socket) -> None:
        channel.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        try:
            while not given_up.wait(0.1):
                channel.sendall(b"x")
        except OSError:  # the client has closed the connection
            given_up.set()

    site.answers["/drip"] = drip
    job_id = here.submit_url(site.url("/drip"))
    here.run()
    assert given_up.wait(30)
    assert here.job(job_id).stage == Stage.FETCHING


def test_a_job_whose_image_is_not_fetched_keeps_its_deadline(here: Bench) -> None:
    """Also where no worker fetches it."""
    job_id = here.submit_url("http://127.0.0.1:1/", deadline=timedelta(seconds=30))
    here.broker.steps.clear()
    here.pass_time(31)
    here.sweep()
    assert problem(here, job_id)["type"] == "/problems/deadline-exceeded"


def test_a_job_canceled_while_its_image_is_fetched_stays_canceled(here: Bench, site: Site) -> None:
    """The image is not stored."""
    job_id = here.submit_url(site.url("/slow"))

    def cancel_meanwhile(channel: socket.socket) -> None:
        with here.process.storage.database.transaction() as session:
            assert service.cancel(session, here.job(job_id).tenant_id, job_id) is not None
        channel.sendall(reply(IMAGE))

    site.answers["/slow"] = cancel_meanwhile
    here.run()
    job = here.job(job_id)
    assert (job.status, job.image) == (JobStatus.CANCELED, None)
    assert stored(here) == 0


def refuses(here: Bench) -> bool:
    """Whether the process accepts no more fetches."""
    try:
        here.process.fetcher.threads.submit(lambda: None)
    except RuntimeError:
        return True
    return False


def test_one_slow_address_does_not_occupy_the_pool(here: Bench, site: Site) -> None:
    """Fetching has its own threads; what a closing process has not started to fetch is left to other processes."""
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def work() -> None:
        begun.set()
        go_on.wait(10)
        done.append("first")

    here.process.fetcher.threads.submit(work)
    assert begun.wait(5)
    for number in range(40):
        here.process.fetcher.threads.submit(lambda: done.append("late") if go_on.wait(10) else None, owner=number)
    closing = threading.Thread(target=here.process.fetcher.close)
    closing.start()
    wait_until(lambda: refuses(here))
    go_on.set()
    closing.join(10)
    assert not closing.is_alive()
    assert done.count("first") == 1
    assert done.count("late") == 31


def test_a_decoding_child_of_a_worker_is_as_small_as_the_apis(here: Bench, site: Site) -> None:
    """It does not load the service, although the worker's own program does."""
    script = (
        "import runpy, sys\n"
        "runpy.run_path('workers/__main__.py', run_name='__mp_main__')\n"
        "print(*{name.split('.')[0] for name in sys.modules})\n"
    )
    root = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert not {"app", "celery", "sqlalchemy"} & set(ran.stdout.split())


def test_what_is_fetched_counts_for_the_tenants_day(here: Bench, site: Site) -> None:
    """Its bytes, whether they are an image or not; an address that gives none costs none."""
    site.answers["/text"] = reply(b"no image, " * 100)
    site.answers["/missing"] = reply(b"gone", 404)
    for path in ("/image", "/text", "/missing"):
        here.submit_url(site.url(path))
    here.run()
    with here.process.storage.database.transaction() as session:
        volume = session.scalars(select(TenantVolume)).one()
    assert (volume.tenant_id, volume.jobs) == (DEFAULT_TENANT, 0)
    assert volume.bytes == len(IMAGE) + 1_000


def test_a_tenants_tarpits_leave_threads_for_others(here: Bench, site: Site) -> None:
    """Forty addresses that never end: another tenant's image is fetched meanwhile, in the process that holds them."""
    go_on, hanging = threading.Event(), []

    def tarpit(channel: socket.socket) -> None:
        hanging.append(channel)
        go_on.wait(30)

    site.answers["/tarpit"] = tarpit
    hostile = [here.submit_url(site.url("/tarpit")) for _ in range(40)]
    honest = here.submit_url(site.url("/image"))
    with here.process.storage.database.transaction() as session:
        tenant = Tenant(name="honest")
        session.add(tenant)
        session.flush()
        session.execute(update(Job).where(Job.id == honest).values(tenant_id=tenant.id))
    for job_id in (*hostile, honest):
        owner = tenant.id if job_id == honest else DEFAULT_TENANT
        run = partial(run_stage, here.process, stage_works(here.process), Stage.FETCHING, job_id)
        here.process.fetcher.threads.submit(run, owner)

    def is_fetched() -> bool:
        with here.process.storage.database.statement() as session:
            return session.scalars(select(Job.stage).where(Job.id == honest)).one() != Stage.FETCHING

    try:
        wait_until(is_fetched, 20)
        assert len(hanging) <= 16
    finally:
        go_on.set()
        here.process.fetcher.close()
