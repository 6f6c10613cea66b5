"""The identity behind a key: its tenant, scopes and limits."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.errors import InsufficientScope


class Scope(StrEnum):
    """A permission; a key has a set of them, and none implies another."""

    SUBMIT = "submit"
    READ = "read"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller. It has access to the data of its tenant and to no other."""

    tenant_id: uuid.UUID
    actor: str  # as the audit log names it
    scopes: frozenset[Scope]
    # Of the key or its tenant; None is the installation's default.
    requests_per_minute: int | None = None
    concurrent_jobs: int | None = None
    jobs_per_day: int | None = None
    bytes_per_day: int | None = None
    # Of the key itself; None: it has no limit of its own, or does not expire.
    own_requests_per_minute: int | None = None
    expires_at: datetime | None = None

    def require(self, scopes: Iterable[str]) -> "Identity":
        """Itself, if the key has all these scopes; none implies another. Raises InsufficientScope."""
        for scope in scopes:
            if scope not in self.scopes:
                raise InsufficientScope(
                    f"The key does not have the scope `{scope}`; use one that has it.",
                    headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
                )
        return self
