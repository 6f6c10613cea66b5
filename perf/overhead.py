"""`make bench-overhead`: a job of ten instant sources takes at most twice as long as twelve Celery no-op round trips.

Both go over the same broker with the same Celery options, in turn, in one run: a round trip is sending a task and
waiting for its result, twelve of them one after another; a job is POST /attribute with `Prefer: wait`, until its end.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from devstack.stack import Stack
from perf.fakes import fake_service
from perf.job_client import attribute, connect, solid_image
from perf.report import Requirement, finish

ROUNDS = 25
ROUND_TRIPS = 12
BOUND = 2.0
INSTANT = {f"instant-{k}": "" for k in range(10)}


@contextmanager
def noop_worker(service: Stack) -> Iterator[None]:
    """The reference worker beside the service's own."""
    worker = subprocess.Popen([sys.executable, "-m", "perf.noop"], env=service.environment)
    try:
        yield
    finally:
        worker.terminate()
        worker.wait(30)


def main() -> None:
    """Measures and prints."""
    with (
        fake_service(INSTANT) as service,
        noop_worker(service),
        connect(service) as http,
    ):
        os.environ.update(service.environment)
        from perf.noop import QUEUE, TASK, make_app

        celery = make_app()

        def round_trips() -> float:
            started = time.perf_counter()
            for _ in range(ROUND_TRIPS):
                celery.send_task(TASK, queue=QUEUE).get(timeout=30)
            return time.perf_counter() - started

        def job(color: int) -> float:
            image = solid_image((color, 40, 40))
            started = time.perf_counter()
            ended = attribute(http, image, images_per_source="1", seed=str(color))  # never generated before
            seconds = time.perf_counter() - started
            assert len(ended["result"]["ranking"]) == len(INSTANT), ended
            return seconds

        round_trips(), job(0)
        pairs = [(round_trips(), job(1 + k)) for k in range(ROUNDS)]
    noops, jobs = zip(*pairs, strict=True)
    ratio = statistics.median(job / noop for noop, job in pairs)
    print(f"{ROUND_TRIPS} round trips: median {1000 * statistics.median(noops):.1f} ms")
    print(f"job of {len(INSTANT)} instant sources: median {1000 * statistics.median(jobs):.1f} ms")
    figures = {
        "rounds": ROUNDS,
        "round_trips_ms_median": round(1000 * statistics.median(noops), 1),
        "job_ms_median": round(1000 * statistics.median(jobs), 1),
        "ratio_median": round(ratio, 3),
    }
    finish("overhead", figures, [Requirement("job / twelve round trips, median of pairs", ratio, BOUND)])


if __name__ == "__main__":
    main()
