"""All screening of an installation, in order of cost, the cheapest first. It fails closed."""

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
    """The hooks of one process. An error of a hook is the stage's: the stage is retried, and then the job fails."""

    def __init__(self, hooks: Sequence[Hook]) -> None:
        self._hooks = tuple(hooks)

    def fingerprint(self, tenant_id: uuid.UUID) -> str | None:
        """The lists and rules that apply to a tenant now, as a text that changes with them.

        None with hooks or a service, whose decisions may change unnoticed. To be read before screening, so that a
        change in between makes the fingerprint stale and not too new.
        """
        parts = [hook.fingerprint(tenant_id) for hook in self._hooks if isinstance(hook, HashLists | TextRules)]
        return "/".join(parts) if len(parts) == len(self._hooks) else None

    def check_image(self, query: QueryImage) -> None:
        """Raises ScreeningRefused at the first hit."""
        for hook in self._hooks:
            _refuse(hook.check_image(query))

    def check_caption(self, caption: ScreenedCaption) -> None:
        """Raises ScreeningRefused at the first hit."""
        for hook in self._hooks:
            _refuse(hook.check_caption(caption))


def build_screening(settings: Settings, database: Database) -> Screening:
    """Lists and rules of the database, the operator's own hooks, the moderation service; nothing connects yet.

    Raises ImportError or AttributeError for a hook that does not exist.
    """
    hooks: list[Hook] = [
        HashLists(database, settings.screening.refresh),
        TextRules(database, settings.screening.refresh),
        *load_hooks(settings.screening.hooks),
    ]
    if settings.screening.endpoint is not None:
        hooks.append(Moderation(settings.screening, settings.egress))
    return Screening(hooks)


def _refuse(hit: Hit | None) -> None:
    if hit is not None:
        log.warning("screened", kind=hit.kind, name=hit.name)
        raise ScreeningRefused(hit.sentence, screening={"kind": hit.kind, "name": hit.name})
