"""`make chaos`: jobs run while processes are killed, and every one must end with the ranking of an undisturbed run.

A random process (a worker, the API, beat, Valkey or Postgres) gets `kill -9` every 15 s or later; the supervisor
restarts it. Jobs come three at a time, so that they share batches. Then an image that crashes its worker each time must
end as failed, not be retried forever; and one that crashes a generator must end only its own source.
"""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Annotated, Any

import httpx
import psycopg
import typer

from devstack.stack import Stack, stack
from devstack.state import remove
from perf.fakes import WORKERS, fake_service
from perf.job_client import Job, connect, face, solid_image, states, submit, wait
from perf.report import Requirement, finish

Answer = list[tuple[str, list[float]]]
# Which jobs share a batch differs from run to run, and with it the rounding of a few pixels by one level.
SAME_DISTANCE = 1e-3
TOGETHER = 3
Pause = Annotated[float, typer.Option(help="least seconds between two kills")]
Seed = Annotated[int | None, typer.Option(help="of the kills; default: another one in each run")]


def main(jobs: int = 30, pause: Pause = 15.0, seed: Seed = None) -> None:
    """Runs undisturbed, then disturbed, then with the crashing image."""
    seed = seed_or_random(seed)
    images = [face(k) for k in range(jobs)]
    with zoo_service() as service:
        calm = run(service, images, pace=0.0)
    expected = [answer(job) for job in calm]
    print(f"undisturbed: {len(calm)} jobs")
    kills: list[str] = []
    with zoo_service() as service, killing(service, pause, random.Random(seed), kills):
        # Spread out, so that kills meet jobs in every stage.
        disturbed = run(service, images, pace=15.0)
        unended = count_unended(service)
    wrong = [k for k, job in enumerate(disturbed) if not same(answer(job), expected[k])]
    for k in wrong:
        print(f"job {k}: {disturbed[k]['status']} {states(disturbed[k])} {disturbed[k].get('error')}")
    crash_type = crashing_image()
    crashed, harmed = crashing_batch()
    figures = {
        "jobs": len(disturbed),
        "kills": {name: kills.count(name) for name in sorted(set(kills))},
        "seed": seed,
        "other_rankings": len(wrong),
        "not_ended": unended,
        "crashing_image": crash_type,
        "crashing_batch": crashed,
    }
    requirements = [
        Requirement("jobs with another ranking than undisturbed", len(wrong), 0),
        Requirement("jobs that did not end", unended, 0),
        Requirement("crashing images that did not end as failed", float(crash_type != "/problems/step-crashed"), 0),
        Requirement("crashing batches whose source did not end as error", float(crashed != "error"), 0),
        Requirement("jobs that shared a batch with what crashed, and lost an image", harmed, 0),
        Requirement("runs in which nothing was killed", float(not kills), 0),
    ]
    finish("chaos", figures, requirements)


def seed_or_random(seed: int | None) -> int:
    """The seed, or a random one, printed so that the run can be repeated."""
    seed = random.SystemRandom().randrange(2**16) if seed is None else seed
    print(f"seed {seed}")
    return seed


@contextmanager
def zoo_service() -> Iterator[Stack]:
    """The service with the small models, on a state directory of its own."""
    with TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder:
        state = Path(folder) / "state"
        # By distance: a bank that is compiled meanwhile changes no order.
        with stack(state, environment={"MODELS__METHOD": "cosine"}) as service:
            service.wait_until_warm()
            yield service
        remove(state)


def run(service: Stack, images: list[bytes], pace: float) -> list[Job]:
    """Submits the images, some together every `pace` seconds, and waits for all; failed requests are retried."""
    with connect(service, timeout=10) as http:
        locations = []
        for number, image in enumerate(images, 1):
            locations.append(retry(partial(submit, http, image, images_per_source="2")))
            if number % TOGETHER == 0:
                time.sleep(pace)
        return [retry(partial(wait, http, at, every=0.2, patience=600)) for at in locations]


def retry(act: Callable[[], Any], patience: float = 600) -> Any:
    """Retries while the service is unavailable, as a careful client does. Raises when it stays unavailable."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return act()
        except (httpx.TransportError, httpx.HTTPStatusError) as error:
            gone = isinstance(error, httpx.HTTPStatusError) and error.response.status_code < 500
            if gone or time.monotonic() > deadline:
                raise
            time.sleep(0.5)


@contextmanager
def killing(service: Stack, pause: float, dice: random.Random, kills: list[str]) -> Iterator[None]:
    """Kills a random process every `pause` to `pause` + 5 seconds until the block ends, all equally often."""
    stop = Event()

    def kill() -> None:
        deck: list[str] = []
        while not stop.wait(pause + dice.uniform(0, 5)):
            deck = deck or dice.sample(service.supervisor.names(), len(service.supervisor.names()))
            name = deck.pop()
            pid = service.supervisor.pid(name)
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                kills.append(name)
                print(f"killed {name}", flush=True)

    with background(kill, stop):
        yield


@contextmanager
def background(work: Callable[[], None], stop: Event) -> Iterator[None]:
    """Runs `work` in a thread while the block runs; it must return when `stop` is set."""
    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def count_unended(service: Stack) -> int:
    """Jobs that are not completed in Postgres, also those whose 202 was lost."""
    deadline = time.monotonic() + 120
    while True:
        try:
            with psycopg.connect(service.servers.database_url) as connection:
                row = connection.execute("SELECT count(*) FROM jobs WHERE completed_at IS NULL").fetchone()
        except psycopg.OperationalError:
            row = None
        if row is not None and (row[0] == 0 or time.monotonic() > deadline):
            return int(row[0])
        time.sleep(1)


def answer(job: Job) -> Answer:
    """The ranking: sources with their distances; empty for a job without one."""
    result = job.get("result") or {"ranking": []}
    return [(entry["source"], entry["distances"]) for entry in result["ranking"]]


def same(one: Answer, other: Answer) -> bool:
    """The same sources in the same order, at the same distances."""
    return [source for source, _ in one] == [source for source, _ in other] and all(
        abs(a - b) < SAME_DISTANCE
        for (_, ours), (_, theirs) in zip(one, other, strict=True)
        for a, b in zip(ours, theirs, strict=True)
    )


def crashing_image() -> str | None:
    """How a job ends whose image kills its worker each time, while another one goes through."""
    sources = {"a": "", "b": ""}
    with (
        fake_service(sources, captioner="fake:crash_on=magenta", environment={"JOB__ATTEMPTS": "3"}) as service,
        connect(service) as http,
    ):
        crashing = submit(http, solid_image((255, 0, 255)))
        harmless = submit(http, solid_image((30, 60, 220)))
        ended = wait(http, crashing, every=0.2, patience=180)
        assert wait(http, harmless, every=0.2, patience=180)["status"] == "succeeded"
    return (ended["error"] or {}).get("type")


def crashing_batch() -> tuple[str, int]:
    """How a source ends whose image kills its worker each time, and how many jobs of the same batch are not whole."""
    sources = {"a": 'crash_on = "magenta"', "b": ""}
    workers = {**WORKERS, "worker-local": ("local",)}
    with (
        fake_service(sources, workers=workers, environment={"JOB__ATTEMPTS": "3"}, platform="local") as service,
        connect(service) as http,
    ):
        colors = [(255, 0, 255), (30, 60, 220), (40, 160, 60), (220, 200, 40)]
        crashing, *others = [submit(http, solid_image(color), cache="false") for color in colors]
        ended = wait(http, crashing, every=0.2, patience=180)
        whole = [wait(http, other, every=0.2, patience=180) for other in others]
    return states(ended)["a"], sum(states(job) != {"a": "done", "b": "done"} for job in whole)


if __name__ == "__main__":
    typer.run(main)
