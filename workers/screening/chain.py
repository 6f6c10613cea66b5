"""All screening of an installation, in order of cost, the cheapest first. It fails closed. Text rules are here."""

import uuid
from collections.abc import Sequence
from datetime import timedelta
from threading import Lock

import structlog
from cachetools import TTLCache, cached

from app.db.database import Database
from app.db.models import TextRule
from app.errors import InvalidRequest, ScreeningRefused, StepFailed
from app.screening.patterns import Judge, compile_rule
from app.screening.repository import RULES_FINGERPRINT, get_fingerprint, list_rules_applying_to
from app.settings import Settings
from workers.screening.hash_lists import HashLists
from workers.screening.hooks import Hit, Hook, Moderation, QueryImage, ScreenedCaption, load_hooks

_TENANTS = 1_000

Rules = tuple[tuple[str, Judge], ...]


class TextRules:
    """The rules that apply to a tenant, read and compiled again every few seconds."""

    def __init__(self, database: Database, refresh: timedelta) -> None:
        self._database = database
        self._rules = cached(TTLCache(_TENANTS, refresh.total_seconds()), lock=Lock())(self._load)

    def check_image(self, query: QueryImage) -> Hit | None:
        """Passes: text rules are about texts."""
        return None

    def check_caption(self, caption: ScreenedCaption) -> Hit | None:
        """A hit at the first rule that the text matches. Raises StepFailed for a rule that cannot be applied."""
        for name, matches in self._rules(caption.tenant_id)[1]:
            if matches(caption.text):
                return Hit("text_rule", name, f"The text matches the rule `{name}`.")
        return None

    def fingerprint(self, tenant_id: uuid.UUID) -> str:
        """Which rules a tenant's texts must pass, as a text that changes with them."""
        return self._rules(tenant_id)[0]

    def _load(self, tenant_id: uuid.UUID) -> tuple[str, Rules]:
        with self._database.statement() as session:
            fingerprint = get_fingerprint(session, RULES_FINGERPRINT, tenant_id)
            rules = list_rules_applying_to(session, tenant_id)
        return fingerprint, tuple((rule.name, _compiled(rule)) for rule in rules)


def _compiled(rule: TextRule) -> Judge:
    try:
        return compile_rule(rule.kind, rule.pattern)
    except InvalidRequest as error:  # it was checked when it was added, perhaps by another release
        raise StepFailed(
            f"The text rule `{rule.name}` cannot be applied. The person who added it has to replace it."
        ) from error


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
