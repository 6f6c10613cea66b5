"""`make fuzz-http`: hostile bytes below HTTP. While each attack runs, `/livez` must answer and the API stay small.

Afterwards an honest request must be accepted as before.
"""

import subprocess
import sys
import time
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from threading import Event
from typing import Annotated

import httpx
import typer

from devstack.stack import Stack
from perf.chaos import background
from perf.fakes import fake_service
from perf.job_client import authorization, solid_image, submit
from perf.overload import process_ids, resident_mb
from perf.raw_http import ATTACKS
from perf.report import Requirement, finish

MEMORY_BOUND_MB = 150.0
ANSWER_BOUND = 1.0
_PAUSE = 0.05


def main(
    seconds: Annotated[float, typer.Option(help="of each attack")] = 10.0,
    only: Annotated[str, typer.Option(help="attacks whose name contains this")] = "",
) -> None:
    """Attacks, measures and prints."""
    with fake_service({"one": ""}, workers={}) as service:
        headers = authorization(service)
        pid = process_ids(service)["api"]
        with httpx.Client(base_url=service.base_url, headers=headers, timeout=10) as http:
            submit(http, solid_image())  # starts the decoders
            requirements = []
            figures: dict[str, float] = {"before_mb": resident_mb(pid)}
            for name in ATTACKS:
                if only not in name:
                    continue
                slowest, peak, answers = _measure(service, pid, name, headers["Authorization"].split()[1], seconds)
                print(f"{name}: {answers} of /livez, the slowest in {slowest:.3f} s; at most {peak:.0f} MB", flush=True)
                figures |= {f"{name}: slowest_livez_s": slowest, f"{name}: peak_mb": peak}
                requirements += [
                    Requirement(f"{name}: slowest /livez, s", slowest, at_most=ANSWER_BOUND),
                    Requirement(f"{name}: the API's memory, MB", peak, at_most=MEMORY_BOUND_MB),
                ]
            accepted = submit(http, solid_image((1, 2, 3))).startswith("/attribute/")
    requirements.append(Requirement("honest requests accepted afterwards", accepted, at_least=1))
    finish("fuzz_http", figures, requirements)


def _measure(service: Stack, pid: int, name: str, key: str, seconds: float) -> tuple[float, float, int]:
    """The slowest answer of `/livez`, each on a new connection; the most memory; the number of answers."""
    port = service.base_url.rpartition(":")[2]
    slowest, peak, answers = 0.0, 0.0, 0
    over = Event()

    def sample() -> None:
        nonlocal peak
        while not over.wait(_PAUSE):
            peak = max(peak, resident_mb(pid))

    command = [sys.executable, "-m", "perf.raw_http", name, port, key, str(seconds)]
    with background(sample, over), subprocess.Popen(command) as attack:  # noqa: S603 - our own words
        while attack.poll() is None:
            began = time.perf_counter()
            healthy = _is_healthy(int(port))
            # An answer that does not come counts as one after ten seconds.
            slowest = max(slowest, time.perf_counter() - began if healthy else 10.0)
            answers += healthy
            time.sleep(_PAUSE)
    return slowest, peak, answers


def _is_healthy(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    typer.run(main)
