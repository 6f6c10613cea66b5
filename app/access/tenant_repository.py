"""SQL of tenants: their limits, their budgets, and for how long their data is kept."""

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.db.models import Tenant
from app.errors import InvalidRequest, NotFound


def insert(session: Session, name: str) -> Tenant:
    """A new tenant. Raises InvalidRequest where the name is taken."""
    if session.scalars(select(Tenant).where(Tenant.name == name)).one_or_none() is not None:
        raise InvalidRequest(f"There is a tenant {name!r} already.")
    tenant = Tenant(name=name)
    session.add(tenant)
    session.flush()
    return tenant


def get_by_name(session: Session, name: str) -> Tenant:
    """The tenant of that name. Raises NotFound."""
    tenant = session.scalars(select(Tenant).where(Tenant.name == name)).one_or_none()
    if tenant is None:
        raise NotFound(f"There is no tenant {name!r}; `tenants list` shows them.")
    return tenant


def list_all(session: Session) -> Sequence[Tenant]:
    """All tenants by name."""
    return session.scalars(select(Tenant).order_by(Tenant.name)).all()


def update_limits(session: Session, tenant_id: uuid.UUID, values: dict[str, Any]) -> None:
    """Sets limits, spending and retention; null is the installation's default."""
    session.execute(update(Tenant).where(Tenant.id == tenant_id).values(values))


def set_enabled(session: Session, tenant_id: uuid.UUID, on: bool) -> None:
    """Disables all keys of a tenant, or enables them again. Its data is kept, and its open jobs go to their end."""
    session.execute(update(Tenant).where(Tenant.id == tenant_id).values(disabled_at=None if on else func.now()))
