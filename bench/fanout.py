"""`make bench-fanout`: ten sources of one second each end a job in at most 1.6 s, and one that hangs costs its timeout.

Every job is measured from before its POST until a poll shows its end; the bound is on the slowest of the jobs.
"""

import statistics
import sys
import time

import httpx

from bench.client import connect, picture, states, submit, wait
from bench.fakes import fake_service
from bench.report import Bound, finish

JOBS = 7
SLEEPERS = {f"sleeper-{k}": "sleep_seconds = 1.0" for k in range(10)}
HANG_TIMEOUT = 3.0
BOUND = 1.6


def job_seconds(http: httpx.Client, colour: int) -> tuple[float, dict[str, str]]:
    """How long one job takes, and its sources' states."""
    image = picture((colour, 40, 40))
    started = time.monotonic()
    job = wait(http, submit(http, image, candidates="1", cache="false"))
    seconds = time.monotonic() - started
    assert job["status"] == "succeeded", job
    return seconds, states(job)


def main() -> int:
    """Measures, prints, and returns the exit code."""
    with fake_service(SLEEPERS) as service, connect(service) as http:
        job_seconds(http, 0)
        plain = [job_seconds(http, 10 + k)[0] for k in range(JOBS)]
    print("ten sources of 1.0 s:", ", ".join(f"{seconds:.3f}" for seconds in plain))
    hanging = SLEEPERS | {"sleeper-9": "hang = true"}
    with fake_service(hanging, HANG_TIMEOUT) as service, connect(service) as http:
        hung = []
        for k in range(3):
            seconds, found = job_seconds(http, 10 + k)
            assert found.pop("sleeper-9") == "timeout"
            assert set(found.values()) == {"done"}
            hung.append(seconds)
    print(f"one of them hanging, timeout {HANG_TIMEOUT} s:", ", ".join(f"{seconds:.3f}" for seconds in hung))
    figures = {
        "jobs": JOBS,
        "job_seconds_median": round(statistics.median(plain), 3),
        "job_seconds_max": round(max(plain), 3),
        "hanging_job_seconds_max": round(max(hung), 3),
        "hang_timeout_seconds": HANG_TIMEOUT,
    }
    # A hanging source may cost its timeout, one round of the sweep (1 s) and what a job costs beyond its drawing.
    return finish(
        "fanout",
        figures,
        [
            Bound("slowest job of ten one-second sources, seconds", max(plain), BOUND),
            Bound("slowest job with one hanging source, seconds", max(hung), HANG_TIMEOUT + BOUND),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
