"""`make bench-fanout`: ten sources of one second each end a job in at most 1.6 s, and one that hangs costs its timeout.

Every job is measured from before its POST until a poll shows its end; the bound is on the slowest of the jobs. Then
fourteen vendors of half a second to eight, asked over HTTP through limits: a job takes hardly longer than its slowest
source, and fifty at once keep every vendor's limit and end soon after these limits allow.
"""

import statistics
import sys
import time
from collections import Counter
from typing import Any

import httpx

from perf.fakes import WORKERS, fake_service
from perf.job_client import connect, picture, states, submit, wait
from perf.report import Bound, finish
from perf.vendors import Served, vendor_service

JOBS = 7
SLEEPERS = {f"sleeper-{k}": "sleep_seconds = 1.0" for k in range(10)}
HANG_TIMEOUT = 3.0
BOUND = 1.6
VENDORS = (
    Served("bfl", "a", 0.5, concurrency=1),
    Served("openai", "a", 1.0, concurrency=2),
    Served("bfl", "b", 1.0, concurrency=2),
    Served("stability", "a", 1.5, concurrency=2),
    Served("openai", "b", 2.0, concurrency=4),
    Served("bfl", "c", 2.0, concurrency=4),
    Served("stability", "b", 2.5, per_minute=45),
    Served("bfl", "d", 3.5, concurrency=4),
    Served("stability", "c", 4.0, concurrency=4),
    Served("openai", "c", 5.0, concurrency=5),
    Served("stability", "d", 6.0, concurrency=6),
    Served("openai", "d", 7.0, concurrency=8),
    Served("stability", "e", 7.5, concurrency=8),
    Served("openai", "e", 8.0, concurrency=8),
)
VENDOR_JOBS = 50
ONE_JOB_BOUND, MANY_JOBS_BOUND = 1.10, 1.25


def job_seconds(http: httpx.Client, color: int) -> tuple[float, dict[str, str]]:
    """How long one job takes, and its sources' states."""
    image = picture((color, 40, 40))
    started = time.monotonic()
    job = wait(http, submit(http, image, images_per_source="1", cache="false"))
    seconds = time.monotonic() - started
    assert job["status"] == "succeeded", job
    return seconds, states(job)


def ask_vendors() -> tuple[dict[str, Any], list[Bound]]:
    """One job on fourteen vendors, three times, then fifty at once."""
    slowest = max(each.latency for each in VENDORS)
    with vendor_service(VENDORS, WORKERS) as (service, halls), connect(service, timeout=30) as http:
        job_seconds(http, 0)  # connections, and what is imported late
        alone = [job_seconds(http, 10 + k)[0] for k in range(3)]
        time.sleep(61)  # what was asked does not count in the minute to come
        halls.forget()
        started = time.monotonic()
        image = picture()
        jobs = [
            submit(http, image, images_per_source="1", prompt=f"image {k}", budget_usd="50") for k in range(VENDOR_JOBS)
        ]
        ended = [wait(http, job, every=0.2, patience=600) for job in jobs]
        seconds = time.monotonic() - started
        seen = halls.seen()
    not_done = Counter(
        (row["source"], row["state"], row["reason"])
        for job in ended
        for row in job["sources"]
        if row["state"] != "done"
    )
    for each in not_done.items():
        print(*each)
    bound = max(each.bound(VENDOR_JOBS) for each in VENDORS)
    over = {
        each.id: found
        for each in VENDORS
        if (found := seen[each.id])["peak_concurrency"] > (each.concurrency or VENDOR_JOBS)
        or found["peak_in_window"] > (each.per_minute or VENDOR_JOBS)
    }
    told_to_wait = sum(found["scenarios"].get("rate_limited", 0) for found in seen.values())
    print(f"fourteen vendors, slowest {slowest} s:", ", ".join(f"{each:.3f}" for each in alone))
    print(f"{VENDOR_JOBS} such jobs at once: {seconds:.1f} s; their limits allow {bound:.1f} s")
    figures = {
        "vendors": len(VENDORS),
        "vendor_job_seconds_max": round(max(alone), 3),
        "vendor_jobs": VENDOR_JOBS,
        "vendor_jobs_seconds": round(seconds, 1),
        "limits_allow_seconds": bound,
        "vendors_over_limit": over,
        "vendor_orders": sum(found["orders"] for found in seen.values()),
    }
    return figures, [
        Bound("one job / its slowest vendor", max(alone) / slowest, ONE_JOB_BOUND),
        Bound("fifty jobs / what the limits allow", seconds / bound, MANY_JOBS_BOUND),
        Bound("vendors whose limit was passed", len(over), 0),
        Bound("orders that a vendor turned away", told_to_wait, 0),
        Bound("sources without a generated image", not_done.total(), 0),
    ]


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
    vendor_figures, vendor_bounds = ask_vendors()
    figures = {
        "jobs": JOBS,
        "job_seconds_median": round(statistics.median(plain), 3),
        "job_seconds_max": round(max(plain), 3),
        "hanging_job_seconds_max": round(max(hung), 3),
        "hang_timeout_seconds": HANG_TIMEOUT,
        **vendor_figures,
    }
    # A hanging source may cost its timeout, one round of the sweep (1 s) and what a job costs beyond its generated image.
    return finish(
        "fanout",
        figures,
        [
            Bound("slowest job of ten one-second sources, seconds", max(plain), BOUND),
            Bound("slowest job with one hanging source, seconds", max(hung), HANG_TIMEOUT + BOUND),
            *vendor_bounds,
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
