"""`python -m workers ROLE [ROLE …]` runs one worker process; `python -m workers beat` runs the clock of the sweep."""

import argparse
import sys
from collections.abc import Sequence

from celery.signals import worker_init, worker_ready, worker_shutting_down

from app.log import configure_logging
from app.queue.steps import Role
from workers.process import this_process
from workers.roles import pool_of, queues_of
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
    if BEAT in options.roles:
        # In memory: the only schedule is "every second", and a schedule file torn by kill -9 kept beat from starting.
        celery.start(["beat", "--scheduler", "celery.beat:Scheduler", "--loglevel", "warning"])
    else:
        work([Role(role) for role in options.roles], options.concurrency)


def work(roles: Sequence[Role], concurrency: int | None) -> None:
    """Runs a worker for the roles until it is told to stop. Celery finishes what it holds on SIGTERM."""
    pool = pool_of(roles)
    process = this_process()

    def ready(**_: object) -> None:
        stopped = say_so(process, roles)
        worker_shutting_down.connect(lambda **_: stopped.set(), weak=False)

    worker_init.connect(lambda **_: warm_up(process, roles), weak=False)
    worker_ready.connect(ready, weak=False)
    celery.worker_main(
        [
            "worker",
            *("--pool", pool.kind, "--concurrency", str(concurrency or pool.concurrency)),
            *("--queues", ",".join(queues_of(roles, process.catalogue.sources))),
            *("--hostname", f"{'-'.join(roles)}@%h"),
            *("--loglevel", settings.log.level),
            "--without-gossip",
            "--without-mingle",
        ]
    )


if __name__ == "__main__":
    main(sys.argv[1:])
