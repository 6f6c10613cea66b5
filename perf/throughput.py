"""`make bench-throughput`: how much of the device a saturated service uses, beside a bare loop on the same cores.

In one run, alternating: a bare loop that attributes images (`perf.bare_loop`), the service with as many different
images posted at once, and the loop generating only. Then single jobs on the idle service, beside the slowest source.
The demo models, four sources, γ = 4 without racing, nothing from the cache. Rates are resyntheses a second. CPU time
of a job, in all processes of the service and in the loop, says nearly the same, on a host that others use, too.
"""

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import httpx
import typer

from devstack.stack import Stack, stack
from devstack.state import remove
from perf.bare_loop import BareLoops
from perf.job_client import Job, attribute, connect, face, submit, wait
from perf.machine import cpu_seconds
from perf.report import Requirement, finish

SOURCES = ("zoo-dit", "zoo-lcm", "zoo-mmdit", "zoo-unet")
IMAGES_PER_SOURCE = 4
OF_LOOP, OF_GENERATING, OF_SLOWEST = 0.85, 0.65, 1.5
OPTIONS = {"images_per_source": str(IMAGES_PER_SOURCE), "budget": "fixed", "cache": "false"}
# What the warm-up posts: each process has then seen each source, and knows how large its batches are to be.
WARM_UP = 8
Rounds = Annotated[int, typer.Option(min=1, help="of each of the three measurements")]
Images = Annotated[int, typer.Option(min=8, help="posted at once in each round")]


def main(rounds: Rounds = 2, images: Images = 32) -> None:
    """Measures and prints. Exits 1 where a bound is missed."""
    cores = len(os.sched_getaffinity(0))
    loops = BareLoops(SOURCES, IMAGES_PER_SOURCE, cores)
    loop_rates, service_rates, generating_rates = [], [], []
    loop_cpu, service_cpu = 0.0, 0.0
    resyntheses = images * len(SOURCES) * IMAGES_PER_SOURCE
    with zoo_service() as service, connect(service, timeout=30) as http:
        captions = [caption_of(job) for job in post(http, range(WARM_UP))[1]]
        loops.attribute([face(number) for number in range(4)])
        for number in range(rounds):
            numbers = range(1000 * (number + 1), 1000 * (number + 1) + images)
            seconds, cpu = loops.attribute([face(each) for each in numbers])
            loop_rates.append(resyntheses / seconds)
            loop_cpu += cpu
            before = cpu_of(service)
            seconds, ended = post(http, numbers)
            service_rates.append(resyntheses / seconds)
            service_cpu += cpu_of(service) - before
            assert all(job["status"] == "succeeded" for job in ended)
            generating_rates.append(resyntheses / loops.generate((captions * images)[:images]))
            of_round = f"{loop_rates[-1]:.2f} loop, {service_rates[-1]:.2f} service"
            print(f"{of_round}, {generating_rates[-1]:.2f} generating only", flush=True)
        alone = statistics.median(seconds_of_job(http, 9000 + number) for number in range(5))
        slowest = loops.slowest_source(captions[0])
    loops.close()
    of_loop = statistics.median(service / loop for service, loop in zip(service_rates, loop_rates, strict=True))
    of_generating = statistics.median(
        service / generating for service, generating in zip(service_rates, generating_rates, strict=True)
    )
    figures = {
        "cores": cores,
        "images": images,
        "rounds": rounds,
        "loop_per_second": round(statistics.median(loop_rates), 2),
        "service_per_second": round(statistics.median(service_rates), 2),
        "generating_per_second": round(statistics.median(generating_rates), 2),
        "jobs_per_minute": round(60 * statistics.median(service_rates) / len(SOURCES) / IMAGES_PER_SOURCE, 1),
        "loop_cpu_seconds_per_job": round(loop_cpu / rounds / images, 2),
        "service_cpu_seconds_per_job": round(service_cpu / rounds / images, 2),
        "job_seconds": round(alone, 2),
        "slowest_source_seconds": round(slowest, 2),
    }
    finish(
        "throughput",
        figures,
        [
            Requirement("saturated service / bare loop", of_loop, at_least=OF_LOOP),
            Requirement("saturated service / generating only", of_generating, at_least=OF_GENERATING),
            Requirement("one job on an idle service / its slowest source", alone / slowest, OF_SLOWEST),
        ],
    )


@contextmanager
def zoo_service() -> Iterator[Stack]:
    """The service with the demo models, on a state directory of its own."""
    with TemporaryDirectory(prefix="throughput-", ignore_cleanup_errors=True) as folder:
        state = Path(folder) / "state"
        with stack(state) as service:
            service.wait_until_warm()
            yield service
        remove(state)


def cpu_of(service: Stack) -> float:
    """CPU seconds of all processes of the service so far."""
    pids = map(service.supervisor.pid, service.supervisor.names())
    return cpu_seconds(pid for pid in pids if pid is not None)


def post(http: httpx.Client, numbers: range) -> tuple[float, list[Job]]:
    """Posts these faces at once; the seconds until the last job has ended, and the jobs."""
    files = [face(number) for number in numbers]
    began = time.perf_counter()
    locations = [submit(http, file, **OPTIONS) for file in files]
    ended = [wait(http, location, every=0.25, patience=600) for location in locations]
    return time.perf_counter() - began, ended


def seconds_of_job(http: httpx.Client, number: int) -> float:
    """How long one job takes when nothing else is to be done."""
    time.sleep(1.0)
    began = time.perf_counter()
    attribute(http, face(number), **OPTIONS)
    return time.perf_counter() - began


def caption_of(job: Job) -> str:
    """The caption that a job's sources were given."""
    return str(job["result"]["caption"])


if __name__ == "__main__":
    typer.run(main)
