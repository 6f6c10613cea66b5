"""`make chaos`, second part: jobs run while processes freeze, Redis is full, the disk is full and the store fails.

Every process and server is stopped for some seconds with its connections open, once each; then the history of the run
is checked, see `history`. What cannot be injected on this computer is printed.
"""

import itertools
import os
import random
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Any

import httpx
import typer
from PIL import Image
from redis import Redis

from app.db.blobs import Blobs
from attribution.image import encode_png
from devstack.frozen import frozen
from devstack.object_store import ObjectStore, object_store
from devstack.stack import Stack
from perf.chaos import Seed, background, retry, seed_or_random
from perf.history import History, receiver, violations
from perf.job_client import connect, solid_image, submit, wait
from perf.report import Requirement, finish
from perf.vendors import VendorSource, vendor_service

WORKERS = {"worker-light": ("light",), "worker-models": ("caption", "embed"), "worker-remote": ("remote",)}
VENDORS = (VendorSource("openai", "a", 0.4, price=0.04), VendorSource("stability", "b", 0.6, price=0.04))
SETTINGS = {
    "WEBHOOKS__ALLOW_HTTP": "true",
    "DATABASE__STATEMENT_TIMEOUT": "3s",
    "RETENTION__EVERY": "1s",
    "RETENTION__UNREFERENCED_AFTER": "20s",
}
# How long a fault lasts, and the pause after it.
FAULT_SECONDS, PAUSE_SECONDS = 6.0, 4.0
# Within which every request is answered, whatever is frozen, the API itself included.
ANSWER_SECONDS = 20.0
Fault = Callable[[], AbstractContextManager[None]]


@dataclass(slots=True)
class Responses:
    """How long each response took, and how many requests waited for one in vain."""

    seconds: list[float] = field(default_factory=list)
    timeouts: int = 0

    def retry(self, act: Callable[[], Any]) -> Any:
        """As `perf.chaos.retry`. A connection that was closed counts for nothing: a frozen API may have had to."""

        def once() -> Any:
            try:
                return act()
            except httpx.TimeoutException:
                self.timeouts += 1
                raise

        return retry(once)


def main(seed: Seed = None) -> None:
    """Runs once through all faults, in random order."""
    dice = random.Random(seed_or_random(seed))
    history, injected = History(), list[str]()
    with ExitStack() as stack:
        store = stack.enter_context(object_store())
        os.environ.update(store.environment())
        url = store.create_bucket("faults")
        spool = stack.enter_context(small_disk())
        environment = {**SETTINGS, **store.environment(), "BLOBS__URL": url}
        if spool is not None:
            environment["TMPDIR"] = str(spool)
        hook = stack.enter_context(receiver(history))
        service, vendors = stack.enter_context(vendor_service(VENDORS, WORKERS, environment))
        faults = faults_of(service, store, spool)
        stop = Event()
        with connect(service, timeout=30) as http, timing(http) as responses:
            with background(partial(inject, faults, dice, stop, injected), stop):
                numbers = itertools.count()
                while not stop.is_set():
                    one_job(http, responses, history, hook, next(numbers))
            for job_id in history.accepted - history.deleted:
                responses.retry(partial(wait, http, f"/attribute/{job_id}", every=0.2, patience=300))
        history.billed = {each.id: each.price * vendors.counts()[each.id]["billed"] for each in VENDORS}
        found = settle(history, service, Blobs(url))
    requirements = [Requirement(name, count, 0) for name, count in found.items()]
    requirements += [
        Requirement("seconds of the slowest response", max(responses.seconds), ANSWER_SECONDS),
        Requirement("requests that timed out", responses.timeouts, 0),
        Requirement("faults", len(injected), at_least=len(faults)),
        Requirement("jobs", len(history.accepted), at_least=10),
        Requirement("deleted jobs", len(history.deleted), at_least=2),
    ]
    figures = {
        "faults": injected,
        "jobs": len(history.accepted),
        "deleted": len(history.deleted),
        "slowest_response": max(responses.seconds),
        "violations": found,
    }
    finish("faults", figures, requirements)


def faults_of(service: Stack, store: ObjectStore, spool: Path | None) -> dict[str, Fault]:
    """Every fault by its name."""
    faults: dict[str, Fault] = {
        f"{name} frozen": partial(frozen_process, service, name) for name in service.supervisor.names()
    }
    faults["redis full"] = partial(full_redis, service)
    faults["store slow"] = partial(set_for_a_while, store, "delay", 2.0, 0.0)
    faults["store failing"] = partial(set_for_a_while, store, "failing", True, False)
    if spool is not None:
        faults["spool full"] = partial(full_disk, service, spool)
    print("not injected: jumps of the clock, which one process cannot have for itself here", flush=True)
    return faults


def inject(faults: Mapping[str, Fault], dice: random.Random, stop: Event, injected: list[str]) -> None:
    """One fault after the other."""
    try:
        for name in dice.sample(sorted(faults), len(faults)):
            time.sleep(PAUSE_SECONDS)
            print(name, flush=True)
            with faults[name]():
                time.sleep(FAULT_SECONDS)
            injected.append(name)
        time.sleep(PAUSE_SECONDS)
    finally:
        stop.set()


def one_job(http: httpx.Client, responses: Responses, history: History, hook: str, k: int) -> None:
    """Submits a job; deletes every third once it has ended."""
    image = solid_image((k % 256, 90, 120))
    location = responses.retry(partial(submit, http, image, prompt=f"image {k}", webhook_url=hook))
    job_id = uuid.UUID(location.rpartition("/")[2])
    history.accepted.add(job_id)
    if k % 3 == 0:
        responses.retry(partial(wait, http, location, every=0.2, patience=300))
        responses.retry(lambda: http.delete(location).raise_for_status())
        history.deleted.add(job_id)
    time.sleep(0.5)


def settle(history: History, service: Stack, blobs: Blobs) -> dict[str, int]:
    """The violations, once none is left or there was time for retention and deliveries to finish."""
    deadline = time.monotonic() + 120
    while True:
        found = violations(history, service.servers.database_url, blobs)
        if not any(found.values()) or time.monotonic() > deadline:
            return found
        time.sleep(2)


@contextmanager
def timing(http: httpx.Client) -> Iterator[Responses]:
    """The responses within the block."""
    found = Responses()

    def note(response: httpx.Response) -> None:
        response.read()
        found.seconds.append(response.elapsed.total_seconds())

    http.event_hooks = {"response": [note]}
    yield found
    http.event_hooks = {}


@contextmanager
def frozen_process(service: Stack, name: str) -> Iterator[None]:
    """A process of the service, or a server, frozen with its children."""
    pid = service.supervisor.pid(name)
    with frozen(pid) if pid is not None else nullcontext():
        yield


@contextmanager
def full_redis(service: Stack) -> Iterator[None]:
    """Redis without room for anything."""
    with Redis.from_url(service.servers.redis_url) as redis:
        redis.config_set("maxmemory", 1)
        try:
            yield
        finally:
            redis.config_set("maxmemory", 0)


@contextmanager
def set_for_a_while(store: ObjectStore, name: str, value: float, usual: float) -> Iterator[None]:
    """A fault of the object store."""
    setattr(store, name, value)
    try:
        yield
    finally:
        setattr(store, name, usual)


@contextmanager
def small_disk() -> Iterator[Path | None]:
    """A file system of 16 MB for uploads; None where none can be mounted."""
    with TemporaryDirectory(prefix="spool-") as folder:
        mount = ["/bin/mount", "-t", "tmpfs", "-o", "size=16m,mode=1777", "tmpfs", folder]
        mounted = subprocess.run(mount, capture_output=True, check=False)  # noqa: S603 - our own words
        if mounted.returncode != 0:
            print("not injected: a full disk, for which root has to mount a small file system", flush=True)
            yield None
            return
        try:
            yield Path(folder)
        finally:
            subprocess.run(["/bin/umount", "--lazy", folder], check=False)  # noqa: S603 - our own words


@contextmanager
def full_disk(service: Stack, spool: Path) -> Iterator[None]:
    """No room for uploads. One that would be spooled there must be answered with a 503 problem."""
    filler = spool / "filler"
    with suppress(OSError):
        filler.write_bytes(bytes(32 * 1024 * 1024))
    try:
        with connect(service, timeout=30) as http:
            answer = http.post("/attribute", files={"image": ("image.png", large_image())})
        assert answer.status_code == 503, f"a full disk was answered with {answer.status_code}: {answer.text}"
        yield
    finally:
        filler.unlink()


def large_image() -> bytes:
    """A PNG that is too large to be spooled in memory."""
    return encode_png(Image.frombytes("RGB", (800, 800), random.Random(0).randbytes(3 * 800 * 800)))


if __name__ == "__main__":
    typer.run(main)
