"""What a worker does before it takes tasks: loads its models, checks known answers, records its pipeline, reports warm.

A worker that cannot work must not start: its models load, and give the answers recorded for known images, or it ends.
"""

import os
import socket
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from threading import Event, Thread

import structlog
from PIL import Image
from sqlalchemy.exc import SQLAlchemyError

from app.cache import results
from app.db.database import Database
from app.queue.heartbeats import EVERY_SECONDS, Heartbeats
from app.queue.steps import Role
from app.settings import ModelSettings, Settings
from app.telemetry.metrics import COMPUTE_THREADS
from attribution.catalog import Catalog
from attribution.embed.stage import feature_space
from attribution.known_answers import AnswerSubject, reproduce, subject_of_embedder, subjects_of_captioner
from workers.models import Models
from workers.process import Process
from workers.rank import pipeline_fingerprint

log = structlog.get_logger(__name__)


def warm_up(models: Models, roles: Sequence[Role]) -> None:
    """Loads what the roles need and uses it once; captioners and embedders must reproduce their known answers.

    Raises what loading raises, and ConfigurationError for different answers.
    """
    started = time.monotonic()
    gray = Image.new("RGB", (64, 64), (128, 128, 128))
    if Role.CAPTION in roles:
        _check_captioners(models)
        if not models.captioning()[1].waits:
            models.captioner().describe(gray)
    if Role.EMBED in roles:
        _check_embedders(models)
        models.embedder().embed([gray])
    if Role.LOCAL in roles:
        for source in models.local_sources():
            models.generator(source)
    _warn_of_retirement(models.catalog, roles)
    threads = models.settings.threads_per_process
    COMPUTE_THREADS.set(threads)
    seconds = round(time.monotonic() - started, 2)
    log.info("warm", roles=[role.value for role in roles], seconds=seconds, threads=threads)


def start_heartbeat(process: Process, roles: Sequence[Role]) -> Event:
    """Reports each role as warm, and records this worker's pipeline, from a daemon thread until the event is set."""
    heartbeats = Heartbeats(process.storage.redis)
    name, stopped = f"{socket.gethostname()}:{os.getpid()}", Event()

    def run() -> None:
        recorded = False
        while True:
            for role in roles:
                heartbeats.beat(role, name)
            recorded = recorded or record_pipeline(process.settings, process.storage.database, process.models, roles)
            if stopped.wait(EVERY_SECONDS):
                break
        for role in roles:
            heartbeats.remove(role, name)

    Thread(target=run, name="heartbeat", daemon=True).start()
    return stopped


def record_pipeline(settings: Settings, database: Database, models: Models, roles: Sequence[Role]) -> bool:
    """Records what this worker captions, or ranks, with: results of anything else are no longer used from the cache.

    Returns False when Postgres is unavailable. Loads the models of these roles.
    """
    parts: dict[str, str] = {}
    if Role.CAPTION in roles:
        parts |= {
            results.caption_part(name): str(models.captioner(name).ref) for name in [None, *models.settings.offered]
        }
    if Role.EMBED in roles:
        parts |= {
            results.rank_part(name): pipeline_fingerprint(settings, models, str(models.embedder(name).ref))
            for name in [None, *models.settings.offered_embedders]
        }
        parts |= {
            results.space_part(name): feature_space(models.embedder(name).ref)
            for name in [None, *models.settings.offered_embedders]
        }
    try:
        for part, fingerprint in parts.items():
            with database.statement() as session:
                results.upsert_fingerprint(session, part, fingerprint)
    except SQLAlchemyError as error:
        log.warning("pipeline_not_recorded", error=type(error).__name__)
        return False
    return True


def _check_captioners(models: Models) -> None:
    """Checks every captioner that a job may name."""
    settings = models.settings
    for name, spec in settings.offered.items():
        captioner = models.captioner(name)
        for subject in subjects_of_captioner(captioner, spec, settings.dtype or "float32", settings.device):
            _check(settings, subject)


def _check_embedders(models: Models) -> None:
    """Checks every embedder that a job may name."""
    settings = models.settings
    for name, spec in settings.offered_embedders.items():
        subject = subject_of_embedder(models.embedder(name), spec, settings.device)
        if subject is not None:
            _check(settings, subject)


def _check(settings: ModelSettings, subject: AnswerSubject) -> None:
    """Raises ConfigurationError where the model's answers for known images differ from the recorded ones."""
    folder = settings.known_answers
    try:
        recorded = reproduce(subject, folder)
    except OSError as error:
        reason = (
            f"The known answers of {subject.ref} cannot be kept in {folder} ({error.strerror}): nothing was compared. "
            "Set MODELS__KNOWN_ANSWERS to a directory that this process may write."
        )
        log.warning("known_answers_not_kept", model=str(subject.ref), reason=reason)
        return
    if recorded is None:
        log.info("known_answers_reproduced", model=str(subject.ref))
    elif recorded.answers:
        log.info("known_answers_recorded", model=str(subject.ref), images=len(recorded.answers), folder=str(folder))
    else:
        reason = f"Every caption of {subject.ref} changes with the slightest noise, so none can be compared."
        log.warning("known_answers_not_kept", model=str(subject.ref), reason=reason)


def _warn_of_retirement(catalog: Catalog, roles: Sequence[Role]) -> None:
    """Logs the enabled sources of these roles that cannot be tested, or have a sunset date."""
    today = datetime.now(UTC).date()
    for source in catalog.select(None, ()):
        if (Role.LOCAL if source.is_local else Role.REMOTE) not in roles:
            continue
        if (obstacle := source.obstacle(today)) is not None:
            log.warning("source_not_tested", source=source.id, state=obstacle[0].value, reason=obstacle[1])
        elif (warning := source.warning(today)) is not None:
            log.warning("source_deprecated", source=source.id, warning=warning)
