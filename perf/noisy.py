"""`make noisy`: what one tenant's trouble costs another one, for each resource that they share.

An honest tenant submits at a steady pace, half of its awaited jobs by address, with a webhook endpoint. First alone,
then beside each kind of `perf.hostile`, with a fresh service for each, so that nothing is left of the kind before. For
each the 99th percentile of its POSTs, of the times to its verdicts and of the times to their webhooks stands beside the
quiet one.
"""

import itertools
import multiprocessing
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Annotated, Any

import httpx
import typer

from devstack.stack import Stack
from perf.fakes import fake_service
from perf.hostile import KINDS, Target
from perf.job_client import authorization, solid_image
from perf.load import LoadFigures, multipart, open_loop
from perf.report import Requirement, finish

BOUND = 3.0
SETTLE_SECONDS = 3.0
POSTS_PER_SECOND = 5.0
ENVIRONMENT = {"EGRESS__ALLOW": '["127.0.0.1"]', "WEBHOOKS__ALLOW_HTTP": "true", "LOG__LEVEL": "warning"}


@dataclass(frozen=True, slots=True)
class Honest:
    """Seconds of the honest tenant's POSTs, to its verdicts and to their webhooks; and how much it did not get."""

    posts: list[float]
    verdicts: list[float]
    webhooks: list[float]
    refused: int
    missing: int

    def percentiles(self) -> dict[str, float]:
        """The 99th of each."""
        kinds = {"post": self.posts, "verdict": self.verdicts, "webhook": self.webhooks}
        return {name: _percentile(values) for name, values in kinds.items()}


def _percentile(values: list[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[98] if len(values) > 1 else float("inf")


class _HonestSite(ThreadingHTTPServer):
    """Serves images, and remembers when which job's end was announced."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.announced: dict[str, float] = {}
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    server: _HonestSite

    def do_GET(self) -> None:
        body = _image(int(self.path.strip("/")))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        job = httpx.Response(200, content=self.rfile.read(int(self.headers["Content-Length"]))).json()["data"]["id"]
        self.server.announced[job] = time.perf_counter()
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def _image(number: int) -> bytes:
    red, green, blue = random.Random(number).randbytes(3)
    return solid_image((red, green, blue), 64 + number % 7)


def measure(service: Stack, posts: int, jobs: int) -> Honest:
    """The honest tenant's figures, beside whatever else there is."""
    key = authorization(service)
    site, load = _HonestSite(), LoadFigures()
    began: dict[str, float] = {}
    verdicts: list[float] = []
    numbers = itertools.count(1_000)

    def steadily() -> None:
        sent = (multipart(_image(next(numbers)), key) for _ in itertools.count())
        found = open_loop(httpx.URL(service.base_url).port or 80, sent, POSTS_PER_SECOND, posts / POSTS_PER_SECOND)
        load.latencies, load.statuses = found.latencies, found.statuses

    with httpx.Client(base_url=service.base_url, headers=key, timeout=90) as http:
        endpoint = {"url": f"{site.url}/hook", "events": ["attribution.completed"]}
        http.post("/webhooks", json=endpoint).raise_for_status()
        steady = Thread(target=steadily)
        steady.start()
        for number in range(jobs):
            started = time.perf_counter()
            body = (
                {"json": {"image_url": f"{site.url}/{number}"}} if number % 2 else {"files": {"image": _image(number)}}
            )
            try:
                answer = http.post("/attribute", headers={"Prefer": "wait=60"}, **body)
            except httpx.HTTPError:
                continue
            if answer.status_code == httpx.codes.OK:
                verdicts.append(time.perf_counter() - started)
                began[answer.json()["id"]] = started
        steady.join()
        deadline = time.monotonic() + 30
        while began.keys() - site.announced.keys() and time.monotonic() < deadline:
            time.sleep(0.1)
    site.shutdown()
    webhooks = [site.announced[job] - began[job] for job in began if job in site.announced]
    refused = sum(count for status, count in load.statuses.items() if status != httpx.codes.ACCEPTED)
    return Honest(load.latencies, verdicts, webhooks, refused, 2 * jobs - len(verdicts) - len(webhooks))


@contextmanager
def noise(service: Stack, kind: str) -> Iterator[None]:
    """A hostile tenant, in a process of its own, for the block."""
    made = subprocess.run(
        [sys.executable, "-m", "app", "tenants", "create", "hostile"], env=service.environment, capture_output=True
    )
    made.check_returncode()
    key = service.create_key("hostile", "--tenant", "hostile", "--requests-per-minute", "1000000")
    process = multiprocessing.get_context("spawn").Process(
        target=KINDS[kind], args=(Target(service.base_url, key),), daemon=True
    )
    process.start()
    try:
        time.sleep(SETTLE_SECONDS)
        yield
    finally:
        process.kill()
        process.join()


def row(name: str, honest: Honest, quiet: dict[str, float]) -> str:
    """A line of the table."""
    cells = [f"{value * 1000:8.0f} ms {value / quiet[each]:5.1f}" for each, value in honest.percentiles().items()]
    return f"{name:18} {'  '.join(cells)}  {honest.refused:4} {honest.missing:4}"


Kinds = Annotated[str, typer.Option(help="of hostile tenants, separated by commas")]
_ALL = ",".join(KINDS)


def main(kinds: Kinds = _ALL, posts: int = 200, jobs: int = 30, bound: float = BOUND) -> None:
    """Measures quietly, then beside each kind; prints the table, and fails above the bound."""
    wanted = kinds.split(",")
    with fake_service({"one": "", "two": ""}, environment=ENVIRONMENT) as service:
        calm = measure(service, posts, jobs)
    quiet = calm.percentiles()
    print(f"{'p99 and times quiet':18} {'POST':>17}  {'verdict':>17}  {'webhook':>17}  refused, missing", flush=True)
    print(row("quiet", calm, quiet), flush=True)
    figures: dict[str, Any] = {"quiet": quiet}
    requirements = [
        Requirement("quiet: not accepted, not ended or not announced", calm.refused + calm.missing, at_most=0)
    ]
    for kind in wanted:
        with fake_service({"one": "", "two": ""}, environment=ENVIRONMENT) as service, noise(service, kind):
            honest = measure(service, posts, jobs)
        found = honest.percentiles()
        figures[kind] = found | {"refused": honest.refused, "missing": honest.missing}
        print(row(kind, honest, quiet), flush=True)
        requirements += [
            Requirement(f"{kind}: {each} beside quiet", value / quiet[each], at_most=bound)
            for each, value in found.items()
        ]
        lost = honest.refused + honest.missing
        requirements.append(Requirement(f"{kind}: not accepted, not ended or not announced", lost, at_most=0))
    finish("noisy", figures, requirements)


if __name__ == "__main__":
    typer.run(main)
