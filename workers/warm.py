"""Warming up before the first task is taken, and saying so to `/readyz` while the process lives."""

import os
import socket
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from threading import Event, Thread

import structlog
from PIL import Image

from app.queue.heartbeats import EVERY_SECONDS
from app.queue.steps import Role
from workers.active_pipeline import activate_pipeline
from workers.known_answers import check_captioners, check_embedders
from workers.process import Process

log = structlog.get_logger(__name__)


def warm_up(process: Process, roles: Sequence[Role]) -> None:
    """Loads what the roles need and uses it once; captioners and embedders must reproduce their known answers.

    Raises what loading raises, and ConfigurationError for other answers: a worker that cannot work must not start.
    """
    started = time.monotonic()
    gray = Image.new("RGB", (64, 64), (128, 128, 128))
    if Role.CAPTION in roles:
        check_captioners(process)
        if not process.models.captioning()[1].waits:
            process.models.captioner().describe(gray)
    if Role.EMBED in roles:
        check_embedders(process)
        process.models.embedder().embed([gray])
    if Role.LOCAL in roles:
        for source in process.models.local_sources():
            process.models.generator(source)
    _warn(process, roles)
    log.info("warm", roles=[role.value for role in roles], seconds=round(time.monotonic() - started, 2))


def _warn(process: Process, roles: Sequence[Role]) -> None:
    """Tells the operator of enabled sources of these roles that are to be switched off, or were."""
    today = datetime.now(UTC).date()
    for source in process.catalog.select(None, ()):
        if (Role.LOCAL if source.is_local else Role.REMOTE) not in roles:
            continue
        if (obstacle := source.obstacle(today)) is not None:
            log.warning("source_not_tested", source=source.id, state=obstacle[0].value, reason=obstacle[1])
        elif (warning := source.warning(today)) is not None:
            log.warning("source_deprecated", source=source.id, warning=warning)


def say_so(process: Process, roles: Sequence[Role]) -> Event:
    """Beats for each role from a daemon thread until the returned event is set."""
    name, stopped = f"{socket.gethostname()}:{os.getpid()}", Event()

    def run() -> None:
        told = False
        while True:
            for role in roles:
                process.heartbeats.beat(role, name)
            told = told or activate_pipeline(process, roles)
            if stopped.wait(EVERY_SECONDS):
                break
        for role in roles:
            process.heartbeats.remove(role, name)

    Thread(target=run, name="heartbeat", daemon=True).start()
    return stopped
