"""Who is calling, and what that one may do."""

import uuid
from dataclasses import dataclass

from app.access.scopes import Scope
from app.errors import InsufficientScope


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is calling; they see what belongs to their tenant and nothing else."""

    tenant_id: uuid.UUID
    actor: str  # as the audit log names it
    scopes: frozenset[Scope]
    # What the key is good for; null is the installation's default.
    requests_per_minute: int | None = None
    concurrent_jobs: int | None = None

    def holding(self, scope: Scope) -> "Identity":
        """The same, if the key has the scope; no scope stands for another. Raises InsufficientScope."""
        if scope not in self.scopes:
            raise InsufficientScope(
                f"The key has not the scope `{scope}`; use one that has.",
                headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
            )
        return self
