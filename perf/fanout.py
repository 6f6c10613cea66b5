"""`make bench-fanout`: ten sources of one second each end a job in at most 1.6 s, and one that hangs costs its timeout.

Every job is measured from before its POST until a poll shows its end; the bound is on the slowest of the jobs. Then
fourteen vendors of half a second to eight, called over HTTP with rate limits: a job takes hardly longer than its
slowest source, and fifty at once keep every vendor's limits and end soon after these allow.
"""

import statistics
import time
from collections import Counter
from typing import Any

import httpx

from perf.fakes import WORKERS, fake_service
from perf.job_client import connect, solid_image, states, submit, wait
from perf.report import Requirement, finish
from perf.vendors import VendorSource, vendor_service

JOBS = 7
SLEEPERS = {f"sleeper-{k}": "sleep_seconds = 1.0" for k in range(10)}
HANG_TIMEOUT = 3.0
BOUND = 1.6
VENDORS = (
    VendorSource("bfl", "a", 0.5, concurrency=1),
    VendorSource("openai", "a", 1.0, concurrency=2),
    VendorSource("bfl", "b", 1.0, concurrency=2),
    VendorSource("stability", "a", 1.5, concurrency=2),
    VendorSource("openai", "b", 2.0, concurrency=4),
    VendorSource("bfl", "c", 2.0, concurrency=4),
    VendorSource("stability", "b", 2.5, per_minute=45),
    VendorSource("bfl", "d", 3.5, concurrency=4),
    VendorSource("stability", "c", 4.0, concurrency=4),
    VendorSource("openai", "c", 5.0, concurrency=5),
    VendorSource("stability", "d", 6.0, concurrency=6),
    VendorSource("openai", "d", 7.0, concurrency=8),
    VendorSource("stability", "e", 7.5, concurrency=8),
    VendorSource("openai", "e", 8.0, concurrency=8),
)
VENDOR_JOBS = 50
ONE_JOB_BOUND, MANY_JOBS_BOUND = 1.10, 1.25


def job_seconds(http: httpx.Client, color: int) -> tuple[float, dict[str, str]]:
    """How long one job takes, and its sources' states."""
    image = solid_image((color, 40, 40))
    started = time.monotonic()
    job = wait(http, submit(http, image, images_per_source="1", cache="false"))
    seconds = time.monotonic() - started
    assert job["status"] == "succeeded", job
    return seconds, states(job)


def measure_vendors() -> tuple[dict[str, Any], list[Requirement]]:
    """One job on fourteen vendors, three times, then fifty at once."""
    slowest = max(each.latency for each in VENDORS)
    with vendor_service(VENDORS, WORKERS) as (service, vendors), connect(service, timeout=30) as http:
        job_seconds(http, 0)  # connections, and what is imported late
        alone = [job_seconds(http, 10 + k)[0] for k in range(3)]
        time.sleep(61)  # earlier calls must not count in the next minute
        vendors.reset()
        started = time.monotonic()
        image = solid_image()
        jobs = [
            submit(http, image, images_per_source="1", prompt=f"image {k}", budget_usd="50") for k in range(VENDOR_JOBS)
        ]
        ended = [wait(http, job, every=0.2, patience=600) for job in jobs]
        seconds = time.monotonic() - started
        seen = vendors.counts()
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
    rate_limited = sum(found["scenarios"].get("rate_limited", 0) for found in seen.values())
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
        Requirement("one job / its slowest vendor", max(alone) / slowest, ONE_JOB_BOUND),
        Requirement("fifty jobs / what the limits allow", seconds / bound, MANY_JOBS_BOUND),
        Requirement("vendors whose limit was passed", len(over), 0),
        Requirement("calls that a vendor refused for its limits", rate_limited, 0),
        Requirement("sources without a generated image", not_done.total(), 0),
    ]


def main() -> None:
    """Measures and prints."""
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
    vendor_figures, vendor_requirements = measure_vendors()
    figures = {
        "jobs": JOBS,
        "job_seconds_median": round(statistics.median(plain), 3),
        "job_seconds_max": round(max(plain), 3),
        "hanging_job_seconds_max": round(max(hung), 3),
        "hang_timeout_seconds": HANG_TIMEOUT,
        **vendor_figures,
    }
    # A hanging source may cost its timeout, one round of the sweep (1 s) and what a job costs beyond generation.
    finish(
        "fanout",
        figures,
        [
            Requirement("slowest job of ten one-second sources, seconds", max(plain), BOUND),
            Requirement("slowest job with one hanging source, seconds", max(hung), HANG_TIMEOUT + BOUND),
            *vendor_requirements,
        ],
    )


if __name__ == "__main__":
    main()
