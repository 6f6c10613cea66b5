"""Says in Postgres what this worker describes, or ranks, with: answers by anything else are not given again."""

from collections.abc import Sequence

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.cache import results, reusable_jobs
from app.queue.steps import Role
from workers.process import Process
from workers.rank import pipeline_fingerprint

log = structlog.get_logger(__name__)


def activate_pipeline(process: Process, roles: Sequence[Role]) -> bool:
    """Once per start; False when Postgres is unavailable. Loads the models of these roles."""
    parts = {}
    if Role.CAPTION in roles:
        parts[reusable_jobs.CAPTION] = str(process.models.captioner().ref)
        for name in process.settings.models.offered:
            parts[reusable_jobs.caption_part(name)] = str(process.models.captioner(name).ref)
    if Role.EMBED in roles:
        parts[reusable_jobs.RANK] = pipeline_fingerprint(process, str(process.models.embedder().ref))
        for name in process.settings.models.offered_embedders:
            parts[reusable_jobs.rank_part(name)] = pipeline_fingerprint(process, str(process.models.embedder(name).ref))
    try:
        for part, fingerprint in parts.items():
            with process.database.statement() as session:
                results.activate_pipeline(session, part, fingerprint)
    except SQLAlchemyError as error:
        log.warning("method_not_told", error=type(error).__name__)
        return False
    return True
