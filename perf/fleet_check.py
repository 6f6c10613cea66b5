"""`make bench-simulate`: jobs at fakes and stub vendors take as long as the simulation says, within 10 %.

Three local sources on two workers, a vendor with a limit at once and one with a limit per minute, 45 jobs that arrive
at random. What a job costs besides is measured first, on the idle service; all else is what the fakes are set to.
"""

import statistics
import time
from collections.abc import Sequence
from datetime import datetime

import httpx

from perf.fakes import fake_source
from perf.fleet import FleetOutcome, LocalPool, SimulatedFleet, VendorLimits, simulate
from perf.job_client import Job, connect, solid_image, states, submit, wait
from perf.report import Requirement, finish
from perf.simulate import poisson
from perf.vendors import VendorSource, vendor_service

WORKERS = {
    "worker-light": ("light",),
    "worker-models": ("caption", "embed"),
    "worker-local-1": ("local",),
    "worker-local-2": ("local",),
    "worker-remote": ("remote",),
}
LOCAL = {"slow": 2.0, "middle": 1.0, "fast": 0.6}
VENDORS = (VendorSource("bfl", "a", 3.0, concurrency=2), VendorSource("openai", "a", 1.5, per_minute=30))
JOBS, RATE = 45, 1600  # an hour
WITHIN = 0.10


def seconds_of(job: Job) -> float:
    """From a job's acceptance to its end."""
    created, completed = (datetime.fromisoformat(job[name]) for name in ("created_at", "completed_at"))
    return (completed - created).total_seconds()


def run(http: httpx.Client, arrivals: Sequence[float]) -> tuple[list[float], list[Job]]:
    """When each job really arrived, and the ended jobs."""
    began, arrived, locations = time.monotonic(), [], []
    for number, at in enumerate(arrivals):
        time.sleep(max(0.0, began + at - time.monotonic()))
        arrived.append(time.monotonic() - began)
        prompt = f"image {time.time_ns()} {number}"  # never generated before
        locations.append(submit(http, solid_image(), images_per_source="1", prompt=prompt, budget_usd="50"))
    return arrived, [wait(http, location, every=0.25, patience=600) for location in locations]


def predict(arrivals: Sequence[float], overhead: float) -> FleetOutcome:
    """What the simulation says of the same jobs."""
    vendors = {each.id: VendorLimits(each.latency, each.per_minute, each.concurrency) for each in VENDORS}
    fleet = SimulatedFleet([LocalPool(LOCAL, 2, loaded=len(LOCAL))], vendors, overhead_seconds=overhead)
    return simulate(fleet, arrivals, images=1)


def main() -> None:
    """Measures, simulates, compares."""
    local = {name: fake_source(name, f"sleep_seconds = {seconds}", 120, "local") for name, seconds in LOCAL.items()}
    with vendor_service(VENDORS, WORKERS, others=local) as (service, _), connect(service, timeout=30) as http:
        run(http, [0.0])  # connections, and what is imported late
        alone = statistics.median(seconds_of(run(http, [0.0])[1][0]) for _ in range(3))
        time.sleep(61)  # these calls must not count in the next minute
        arrived, jobs = run(http, poisson(RATE, JOBS))
    overhead = max(0.0, alone - predict([0.0], 0.0).p50)
    not_done = sum(state != "done" for job in jobs for state in states(job).values())
    found = FleetOutcome([seconds_of(job) for job in jobs], 0.0, (), 0.0, 0)
    said = predict(arrived, overhead)
    figures = {
        "jobs": JOBS,
        "overhead_seconds": round(overhead, 3),
        "seconds_mean": [round(statistics.fmean(each.seconds), 2) for each in (found, said)],
        "seconds_p50": [round(each.p50, 2) for each in (found, said)],
        "seconds_p95": [round(each.p95, 2) for each in (found, said)],
        "simulated_use": round(said.use[0], 3),
    }
    print("measured and simulated:", figures)

    def off(name: str, measured: float, simulated: float) -> Requirement:
        return Requirement(f"{name}: measured / simulated, off by", abs(measured / simulated - 1), WITHIN)

    finish(
        "simulate",
        figures,
        [
            off("mean", statistics.fmean(found.seconds), statistics.fmean(said.seconds)),
            off("p50", found.p50, said.p50),
            off("p95", found.p95, said.p95),
            Requirement("sources without a generated image", not_done, 0),
        ],
    )


if __name__ == "__main__":
    main()
