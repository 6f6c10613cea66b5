"""`python -m workers ROLE [ROLE …]` runs one worker process; `python -m workers beat` runs the clock of the sweep."""

import logging
import os
from collections.abc import Sequence
from datetime import timedelta
from threading import Event, Thread
from typing import Annotated

import structlog
import typer
from celery import Celery
from celery.signals import worker_ready, worker_shutdown, worker_shutting_down
from prometheus_client import REGISTRY, start_http_server

from app.db.database import Database
from app.db.models import Job, JobSource, Stage
from app.queue.steps import QueuedStep, Role, sources_step, stage_step
from app.settings import MetricsSettings, Settings, load_settings
from app.telemetry.logs import configure_logging
from app.telemetry.metrics import STEPS_RELEASED, PoolGauges
from app.telemetry.tracing import configure_tracing
from workers import queue_order
from workers.leases import EXIT_CODE
from workers.process import this_process
from workers.roles import SOLO, Pool, pool_of, queues_of
from workers.startup import start_heartbeat, warm_up
from workers.storage import Storage
from workers.tasks import make_worker_celery

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)  # output is a log


@app.command()
def main(
    roles: Annotated[list[str], typer.Argument(metavar="ROLE", help=f"{', '.join(Role)}, or beat")],
    concurrency: Annotated[int | None, typer.Option(min=1, help="tasks at once, for roles that run in threads")] = None,
) -> None:
    """Run one worker process for these roles, or `beat`, the clock of the sweep."""
    beat = roles == ["beat"]
    try:
        selected = [] if beat else [Role(role) for role in roles]
        pool = None if beat else pool_of(selected)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    settings = load_settings()
    if settings.models.sources and selected and selected != [Role.LOCAL]:
        raise typer.BadParameter("MODELS__SOURCES is for workers that have the role local and no other.")
    celery = make_worker_celery(settings)
    configure_logging(settings.log)
    logging.captureWarnings(True)  # into the log's own format
    if pool is None:
        # In memory: a schedule of intervals needs no file, and a file torn by kill -9 kept beat from starting.
        celery.start(["--quiet", "beat", "--scheduler", "celery.beat:Scheduler", "--loglevel", "warning"])
        return
    work(settings, celery, selected, Pool(pool.kind, concurrency or pool.concurrency))


def work(settings: Settings, celery: Celery, roles: Sequence[Role], pool: Pool) -> None:
    """Runs a worker for the roles until it is stopped (see `workers.command`).

    Raises SystemExit with an error's code where it ends by itself: what restarts it must not take that for an end.
    """
    configure_tracing(settings.tracing, "whodrew-worker")
    process = this_process()
    shutdown = Shutdown(process.storage, settings.job.release_after)

    def ready(**_: object) -> None:
        stopped = start_heartbeat(process, roles)
        worker_shutting_down.connect(lambda **_: stopped.set(), weak=False)

    worker_shutting_down.connect(lambda **_: shutdown.begin(), weak=False)
    serve_metrics(settings.metrics, process.storage.database)
    # Before Celery starts: it only logs what a signal's handler raises, and a worker without models would take tasks.
    warm_up(process.models, roles)
    process.storage.banks.check()
    worker_ready.connect(ready, weak=False)
    for resource in (process.fetcher, process.vendors, process.decoders, process.webhooks, process.local):
        worker_shutdown.connect(lambda close=resource.close, **_: close(), weak=False)
    if pool == SOLO:
        celery.conf.broker_transport_options = celery.conf.broker_transport_options | {
            "queue_order_strategy": queue_order.NAME
        }
    celery.worker_main(
        [
            "--quiet",  # the banner is not a line of a log
            "worker",
            *("--pool", pool.kind, "--concurrency", str(pool.concurrency)),
            *("--queues", ",".join(queues_of(roles, process.models.catalog.sources, settings.screening))),
            *("--hostname", f"{'-'.join(roles)}@%h"),
            *("--loglevel", settings.log.level),
            "--without-gossip",
            "--without-mingle",
        ]
    )
    if not process.storage.leases.ending:
        log.critical("worker_ended")  # Celery has logged why
        raise SystemExit(EXIT_CODE)


def serve_metrics(settings: MetricsSettings, database: Database) -> None:
    """Serves the process's metrics to Prometheus from a daemon thread, if `METRICS__PORT` is set.

    Raises OSError where the port is taken: each process needs its own.
    """
    if settings.port:
        REGISTRY.register(PoolGauges(database.engine))
        start_http_server(settings.port, settings.host)


log = structlog.get_logger(__name__)


class Shutdown:
    """Ends a worker process after a grace period."""

    def __init__(self, storage: Storage, grace: timedelta) -> None:
        self._storage = storage
        self._grace = grace
        self._second_signal = Event()

    def begin(self) -> None:
        """To be called by the signal's handler; returns at once."""
        if self._storage.leases.ending:
            self._second_signal.set()
            return
        self._storage.leases.ending = True
        Thread(target=self._end, name="shutdown", daemon=True).start()

    def _end(self) -> None:
        log.info("stopping", grace=self._grace.total_seconds())
        self._second_signal.wait(self._grace.total_seconds())
        try:
            release_steps(self._storage)
        except Exception as error:  # Postgres is unavailable: the leases expire, and the sweep requeues the steps
            log.warning("not_released", error=type(error).__name__)
        os._exit(0)


def release_steps(storage: Storage) -> None:
    """Releases the steps that this process holds, and enqueues them for other workers."""
    # One message is enough for a job's sources in one queue.
    storage.broker.enqueue(dict.fromkeys(_step(claim) for claim in storage.leases.release_steps()))


def _step(claim: Job | JobSource) -> QueuedStep:
    if isinstance(claim, Job):
        stage = Stage(claim.stage or "")
        job_id, step = claim.id, stage_step(stage, claim.id)
    else:
        stage = Stage.RESYNTHESIZING
        job_id, step = claim.job_id, sources_step(claim.job_id, claim.queue)
    STEPS_RELEASED.labels(stage.value).inc()
    log.info("step_released", job_id=str(job_id), stage=stage.value)
    return step
