"""Issues and revokes keys, each with an entry in the audit log."""

import uuid
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy.orm import Session

from app.access import key_repository
from app.access.audit import record
from app.access.identity import Scope
from app.access.key_repository import make_key
from app.db.models import ApiKey


def issue(
    session: Session,
    tenant_id: uuid.UUID,
    actor: str,
    name: str,
    scopes: Iterable[Scope],
    *,
    expires_at: datetime | None = None,
    requests_per_minute: int | None = None,
    request_id: str | None = None,
) -> tuple[ApiKey, str]:
    """Creates a key; returns its row and its text, which is stored nowhere."""
    new = make_key()
    key = key_repository.insert(session, tenant_id, new, name, scopes, expires_at, requests_per_minute)
    record(session, tenant_id, actor, "key.created", str(key.id), request_id, name=name, scopes=key.scopes)
    return key, new.text


def revoke(session: Session, key: ApiKey, actor: str, request_id: str | None = None) -> None:
    """Revokes a key permanently; repeating it changes nothing."""
    if key_repository.mark_revoked(session, key.id) is not None:
        record(session, key.tenant_id, actor, "key.revoked", str(key.id), request_id, name=key.name)
