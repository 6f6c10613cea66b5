"""Ten times the capacity: the last part of `make bench-api`.

First the capacity with fake sources is measured, then ten times that rate is sent for a while. Every answer must be
202, 429 or 503, every accepted job must end, and no process may grow beyond its bound.
"""

import itertools
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import httpx

from devstack.stack import Stack
from perf.chaos import background
from perf.fakes import fake_service
from perf.job_client import authorization, solid_image, submit, wait
from perf.load import multipart, open_loop
from perf.report import Requirement

SOURCES = {f"instant-{k}": "" for k in range(3)}
JOBS = 60
TIMES = 10
SECONDS = 15.0
MAX_OPEN = 100
PATIENCE = 180.0
GROWTH_BOUND = 1.5


def overload() -> tuple[dict[str, float], list[Requirement]]:
    """Figures and requirements."""
    with fake_service(SOURCES, environment={"JOB__MAX_OPEN": str(MAX_OPEN), "CACHE__ENABLED": "false"}) as service:
        key = authorization(service)
        with httpx.Client(base_url=service.base_url, headers=key) as http:
            per_second = _capacity(http)
            with _watch(service) as peak:
                before = dict(peak)
                requests = itertools.cycle([multipart(solid_image((k, 0, 0)), key) for k in range(100)])
                load = open_loop(http.base_url.port or 0, requests, TIMES * per_second, SECONDS)
                started = time.monotonic()
                for location in load.locations:
                    wait(http, location, every=0.2, patience=PATIENCE)
                drained = time.monotonic() - started
    growth = max(peak[name] / before[name] for name in before)
    others = sum(count for status, count in load.statuses.items() if status not in (202, 429, 503))
    print(f"capacity {per_second:.1f} jobs/s; at {TIMES} times that: {dict(load.statuses)}, drained in {drained:.0f} s")
    figures = {
        "capacity_jobs_per_s": per_second,
        "overload_posts": float(sum(load.statuses.values())),
        "overload_accepted": float(load.statuses[202]),
        "overload_other_answers": float(others),
        "overload_drained_s": drained,
        "overload_memory_growth": growth,
        "overload_api_peak_mb": peak["api"],
    }
    requirements = [
        Requirement("overload: answers other than 202, 429 and 503", others, at_most=0),
        Requirement("overload: jobs accepted", load.statuses[202], at_least=1),
        Requirement("overload: refused", load.statuses[429] + load.statuses[503], at_least=1),
        Requirement("overload: accepted jobs that did not end", load.statuses[202] - len(load.locations), at_most=0),
        Requirement("overload: a process's memory beside before", growth, at_most=GROWTH_BOUND),
    ]
    return figures, requirements


def _capacity(http: httpx.Client) -> float:
    """Jobs per second with a queue that is never empty."""
    for _ in range(2):
        started = time.perf_counter()
        for location in [submit(http, solid_image((k, 9, 9)), images_per_source="1") for k in range(JOBS)]:
            wait(http, location)
        rate = JOBS / (time.perf_counter() - started)
    return rate


@contextmanager
def _watch(service: Stack) -> Iterator[dict[str, float]]:
    """The most resident memory of each of our Python processes, in MB, updated while the block runs."""
    watched = {name: pid for name, pid in process_ids(service).items() if name == "api" or name.startswith("worker")}
    peak = {name: resident_mb(pid) for name, pid in watched.items()}
    over = Event()

    def sample() -> None:
        while not over.wait(0.1):
            for name, pid in watched.items():
                peak[name] = max(peak[name], resident_mb(pid))

    with background(sample, over):
        yield peak


def process_ids(service: Stack) -> dict[str, int]:
    """The pid of each process by its name."""
    register = json.loads((service.logs.parent / "processes.json").read_text())
    return {name: entry["pid"] for name, entry in register.items()}


def resident_mb(pid: int) -> float:
    """The memory of a process that is in RAM."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)
