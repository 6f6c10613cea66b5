"""`python -m workers ROLE [ROLE …]` runs one worker process; `python -m workers beat` runs the clock of the sweep."""

import argparse
import logging
from collections.abc import Sequence

from celery.signals import worker_ready, worker_shutdown, worker_shutting_down

from app.queue.steps import Role
from app.telemetry.logs import configure_logging
from app.telemetry.tracing import configure_tracing
from workers.metrics_server import serve_metrics
from workers.process import this_process
from workers.roles import Pool, pool_of, queues_of
from workers.stop import Stopping
from workers.tasks import celery, settings
from workers.warm import say_so, warm_up

BEAT = "beat"


def main(arguments: Sequence[str]) -> None:
    """Parses the roles and hands over to Celery."""
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    parser.add_argument("roles", nargs="+", choices=[*(role.value for role in Role), BEAT], metavar="ROLE")
    parser.add_argument("--concurrency", type=int, help="tasks at once, for roles that run in threads")
    options = parser.parse_args(arguments)
    configure_logging(settings.log)
    logging.captureWarnings(True)  # lines of the log, too
    if BEAT in options.roles:
        # In memory: the only schedule is "every second", and a schedule file torn by kill -9 kept beat from starting.
        celery.start(["--quiet", "beat", "--scheduler", "celery.beat:Scheduler", "--loglevel", "warning"])
        return
    roles = [Role(role) for role in options.roles]
    try:
        pool = pool_of(roles)
    except ValueError as error:
        parser.error(str(error))
    work(roles, Pool(pool.kind, options.concurrency or pool.concurrency))


def work(roles: Sequence[Role], pool: Pool) -> None:
    """Runs a worker for the roles until it is told to stop; `workers.stop` says what happens then."""
    configure_tracing(settings.tracing, "whodrew-worker")
    process = this_process()
    stopping = Stopping(process, settings.job.release_after)

    def ready(**_: object) -> None:
        stopped = say_so(process, roles)
        worker_shutting_down.connect(lambda **_: stopped.set(), weak=False)

    worker_shutting_down.connect(lambda **_: stopping.begin(), weak=False)
    serve_metrics(process)
    # Before Celery starts: it only logs what a signal's handler raises, and a worker without models would take tasks.
    warm_up(process, roles)
    worker_ready.connect(ready, weak=False)
    worker_shutdown.connect(lambda **_: process.fetcher.close(), weak=False)
    worker_shutdown.connect(lambda **_: process.asking.close(), weak=False)
    worker_shutdown.connect(lambda **_: process.children.close(), weak=False)
    worker_shutdown.connect(lambda **_: process.couriers.close(), weak=False)
    worker_shutdown.connect(lambda **_: process.outside.close(), weak=False)
    celery.worker_main(
        [
            "--quiet",  # the banner is not a line of a log
            "worker",
            *("--pool", pool.kind, "--concurrency", str(pool.concurrency)),
            *("--queues", ",".join(queues_of(roles, process.catalog.sources, settings.screening))),
            *("--hostname", f"{'-'.join(roles)}@%h"),
            *("--loglevel", settings.log.level),
            "--without-gossip",
            "--without-mingle",
        ]
    )
