"""All of an installation's screening, asked in turn: what costs least first. It fails closed."""

import uuid
from collections.abc import Sequence

import structlog

from app.db.database import Database
from app.errors import ScreeningRefused
from app.settings import Settings
from workers.screening.hash_lists import HashLists
from workers.screening.hooks import Hit, Hook, QueryImage, ScreenedCaption, load_hooks
from workers.screening.moderation import Moderation
from workers.screening.text_rules import TextRules

log = structlog.get_logger(__name__)


class Screening:
    """The hooks of one process. An error of a hook is the stage's: it is tried again, and then ends the job."""

    def __init__(self, hooks: Sequence[Hook]) -> None:
        self._hooks = tuple(hooks)

    def state(self, tenant_id: uuid.UUID) -> str | None:
        """What passes here now, as a text that changes with it; None where others are asked, who may change their mind.

        To be asked before what it is the state of.
        """
        states = [hook.state(tenant_id) for hook in self._hooks if isinstance(hook, HashLists | TextRules)]
        return "/".join(states) if len(states) == len(self._hooks) else None

    def check_image(self, query: QueryImage) -> None:
        """Raises ScreeningRefused at the first hook that says no."""
        for hook in self._hooks:
            _stop_at(hook.check_image(query))

    def check_caption(self, caption: ScreenedCaption) -> None:
        """Raises ScreeningRefused at the first hook that says no."""
        for hook in self._hooks:
            _stop_at(hook.check_caption(caption))


def build_screening(settings: Settings, database: Database) -> Screening:
    """Lists and rules of the database, the operator's own hooks, the moderation endpoint; nothing connects yet.

    Raises ImportError or AttributeError for a hook that is not there.
    """
    hooks: list[Hook] = [
        HashLists(database, settings.screening.refresh),
        TextRules(database, settings.screening.refresh),
        *load_hooks(settings.screening.hooks),
    ]
    if settings.screening.endpoint is not None:
        hooks.append(Moderation(settings.screening, settings.egress))
    return Screening(hooks)


def _stop_at(hit: Hit | None) -> None:
    if hit is not None:
        log.warning("screened", kind=hit.kind, name=hit.name)
        raise ScreeningRefused(hit.sentence, screening={"kind": hit.kind, "name": hit.name})
