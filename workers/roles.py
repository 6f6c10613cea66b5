"""The roles of worker processes: which queues a role consumes, and with which pool.

Stages that hold a model run in Celery's `solo` pool, one task at a time in the process's main thread; those that wait
for other services run in threads. Roles that share a pool can share a process.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.db.models import Stage
from app.queue.steps import NOTIFY_QUEUE, REFERENCE_QUEUE, REMOTE_QUEUE, SWEEP_QUEUE, Role, queue_of
from app.settings import ScreeningSettings
from attribution.catalog import Source


@dataclass(frozen=True, slots=True)
class Pool:
    """Celery's pool and how many tasks it runs at once."""

    kind: str
    concurrency: int


SOLO = Pool("solo", 1)
POOLS = {
    Role.LIGHT: Pool("threads", 4),
    Role.CAPTION: SOLO,
    Role.EMBED: SOLO,
    Role.LOCAL: SOLO,
    # A thread per job whose sources are being called; while they wait for a limit, they need none.
    Role.REMOTE: Pool("threads", 64),
}


def queues_of(roles: Iterable[Role], sources: Iterable[Source], screening: ScreeningSettings) -> list[str]:
    """The queues that these roles consume, given the catalog."""
    sources = tuple(sources)
    screens = Role.LIGHT if screening.waits else Role.CAPTION
    screened = ["screen", REFERENCE_QUEUE]
    of_role = {
        Role.LIGHT: ["fetch", "rank", SWEEP_QUEUE, NOTIFY_QUEUE, *(screened if screens is Role.LIGHT else [])],
        Role.CAPTION: ["caption", *(screened if screens is Role.CAPTION else [])],
        Role.EMBED: ["embed"],
        Role.LOCAL: [queue_of(source) for source in sources if source.is_local],
        Role.REMOTE: [REMOTE_QUEUE],
    }
    return [queue for role in roles for queue in of_role[role]]


def continues_with_next(stage: Stage, screening: ScreeningSettings) -> bool:
    """Whether the worker that was started for this stage runs the next one, too, which saves a message.

    One that fetched a file also screens it: it has the canonical image, for which others would decode the file again.
    """
    return stage in (Stage.FETCHING, Stage.EMBEDDING) or (stage == Stage.SCREENING and not screening.waits)


def pool_of(roles: Sequence[Role]) -> Pool:
    """The pool that the roles share. Raises ValueError where they do not."""
    kinds = {POOLS[role].kind for role in roles}
    if len(kinds) != 1:
        raise ValueError(f"{', '.join(roles)} cannot share a process: they need different pools.")
    return max((POOLS[role] for role in roles), key=lambda pool: pool.concurrency)
