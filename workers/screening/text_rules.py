"""Checks captions and prompts against the text rules in the database."""

import uuid
from datetime import timedelta
from threading import Lock

from cachetools import TTLCache, cached

from app.db.database import Database
from app.db.models import TextRule
from app.errors import InvalidRequest, StepFailed
from app.screening.patterns import Judge, compile_rule
from app.screening.repository import RULES_FINGERPRINT, get_fingerprint, list_rules_applying_to
from workers.screening.hooks import Hit, QueryImage, ScreenedCaption

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
