"""A rolling restart under load: API and workers are replaced, and no caller and no job is the worse for it."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.app.images import encoded
from tests.waiting import wait_until
from tests.workers.harness import Bench
from tests.workers.processes import Processes, answers, environment_of, stop

WORKERS = (("caption", "embed"), ("remote",))


class Callers:
    """Posts an image again and again to whichever API there is, as a load balancer would have it."""

    def __init__(self, urls: list[str]) -> None:
        self.urls = urls
        self.statuses: Counter[int] = Counter()
        self.jobs: list[str] = []

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Posts while the block lasts."""
        enough = threading.Event()
        thread = threading.Thread(target=self._call, args=(enough,))
        thread.start()
        try:
            yield
        finally:
            enough.set()
            thread.join()

    def _call(self, enough: threading.Event) -> None:
        image, turn = encoded(), 0
        while not enough.wait(0.05):
            turn += 1
            url = self.urls[turn % len(self.urls)]
            try:
                answer = httpx.post(f"{url}/attribute", files={"image": image}, data={"cache": "false"}, timeout=30)
            except httpx.ConnectError:  # it has just stopped listening: the next one is called
                continue
            self.statuses[answer.status_code] += 1
            if answer.status_code == 202:
                self.jobs.append(answer.headers["Location"])


@pytest.fixture
def processes(bench: Callable[..., Bench], tmp_path: Path) -> Iterator[Processes]:
    """Real processes over two sources that take their time. No beat: nothing is owed to the sweep."""
    here = bench({"a": "sleep_seconds = 0.3", "b": "sleep_seconds = 0.6"})
    here.process.storage.redis.flushall()
    with ExitStack() as stack:
        yield Processes(stack, environment_of(here.process.settings), tmp_path)


def test_no_request_and_no_job_is_lost(processes: Processes) -> None:
    """While every process is replaced, requests are answered 202 or 503, and accepted jobs succeed."""
    workers = [processes.worker(*roles) for roles in WORKERS]
    url, api = processes.api()
    wait_until(lambda: warm(url) == 3)
    callers = Callers([url])
    with callers.calling():
        for roles in WORKERS:
            processes.worker(*roles)
        url, replacement = processes.api()
        callers.urls = [url]
        stop(api, 10)
        wait_until(lambda: warm(url) == 6)
        for process in workers:
            stop(process, 10)
    assert replacement.poll() is None
    assert callers.statuses.keys() <= {202, 503}
    assert len(callers.jobs) > 20
    with httpx.Client(base_url=url, timeout=30) as http:
        wait_until(lambda: not any(http.get(job).json()["completed_at"] is None for job in callers.jobs))
        assert {http.get(job).json()["status"] for job in callers.jobs} == {"succeeded"}


def warm(url: str) -> int:
    """How many roles of how many workers are warm."""
    return sum(httpx.get(f"{url}/readyz").json()["checks"]["workers"].get("warm", {}).values())


def test_an_api_that_stops_answers_those_it_has(processes: Processes) -> None:
    """A client that waits for a job gets it as it is, at once; an upload that is running is accepted."""
    url, process = processes.api()
    job = httpx.post(f"{url}/attribute", files={"image": encoded()}, timeout=30).headers["Location"]
    waited: list[tuple[int, float]] = []
    uploaded: list[int] = []
    wait_sent, half_sent, refusing = threading.Event(), threading.Event(), threading.Event()

    def wait() -> None:
        began = time.monotonic()
        traced = {"trace": lambda name, _: wait_sent.set() if name == "http11.send_request_body.complete" else None}
        with httpx.Client(timeout=90) as http:
            request = http.build_request("GET", f"{url}{job}", headers={"Prefer": "wait=60"}, extensions=traced)
            answer = http.send(request)
        waited.append((answer.status_code, time.monotonic() - began))

    def body() -> Iterator[bytes]:
        image = encoded()
        yield b'--b\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n' + image[:100]
        half_sent.set()
        refusing.wait(30)
        yield image[100:] + b"\r\n--b--\r\n"

    def upload() -> None:
        headers = {"content-type": "multipart/form-data; boundary=b"}
        uploaded.append(httpx.post(f"{url}/attribute", content=body(), headers=headers, timeout=60).status_code)

    threads = [threading.Thread(target=wait), threading.Thread(target=upload)]
    for thread in threads:
        thread.start()
    assert wait_sent.wait(10)
    assert half_sent.wait(10)
    assert answers(url)  # a later connection, so that the API has read what came before on the earlier two

    def finish_upload() -> None:
        wait_until(lambda: not answers(url))
        refusing.set()

    stop(process, 10, meanwhile=finish_upload)
    for thread in threads:
        thread.join()
    assert uploaded == [202]
    ((status, seconds),) = waited
    assert status == 200
    assert seconds < 10
