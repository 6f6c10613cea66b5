"""API keys: their format, and their repository, which knows their hashes only."""

import hashlib
import re
import secrets
import uuid
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, func, or_, select, update
from sqlalchemy.orm import Session

from app.access.identity import Scope
from app.db.models import ApiKey, Tenant

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PREFIX = 8
_SECRET = 43  # characters of base 62 for 256 bits
_CHECKSUM = 6  # … for 32 bits
_SHAPE = re.compile(rf"wd_[0-9A-Za-z]{{{_PREFIX}}}_[0-9A-Za-z]{{{_SECRET + _CHECKSUM}}}")


@dataclass(frozen=True, slots=True)
class GeneratedKey:
    """A new key, while its text still exists."""

    text: str
    prefix: str
    sha256: str


def make_key() -> GeneratedKey:
    """A new random key."""
    prefix = "wd_" + "".join(secrets.choice(_ALPHABET) for _ in range(_PREFIX))
    body = f"{prefix}_{_base62(secrets.randbits(256), _SECRET)}"
    text = body + _checksum(body)
    return GeneratedKey(text, prefix, hashlib.sha256(text.encode()).hexdigest())


def digest_of(text: str) -> str | None:
    """The SHA-256 under which a key is stored, in hexadecimal; None for a text that is no key."""
    if not _SHAPE.fullmatch(text) or _checksum(text[:-_CHECKSUM]) != text[-_CHECKSUM:]:
        return None
    return hashlib.sha256(text.encode()).hexdigest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


# The row of a key in use is written at most this often.
_USE_IS_NOTED_EVERY = timedelta(minutes=1)


def insert(
    session: Session,
    tenant_id: uuid.UUID,
    new: GeneratedKey,
    name: str,
    scopes: Iterable[Scope],
    expires_at: datetime | None,
    requests_per_minute: int | None,
) -> ApiKey:
    """Stores a key, and returns its row."""
    key = ApiKey(
        tenant_id=tenant_id,
        name=name,
        prefix=new.prefix,
        sha256=new.sha256,
        scopes=sorted(scopes),
        requests_per_minute=requests_per_minute,
        expires_at=expires_at,
    )
    session.add(key)
    session.flush()
    return key


def get_by_digest(session: Session, sha256: str) -> tuple[ApiKey, Tenant] | None:
    """The key with this hash, and its tenant. A lookup by hash: its duration reveals nothing about other keys."""
    row = session.execute(_FIND, {"sha256": sha256}).one_or_none()
    return None if row is None else (row[0], row[1])


_FIND = select(ApiKey, Tenant).join(Tenant, Tenant.id == ApiKey.tenant_id).where(ApiKey.sha256 == bindparam("sha256"))


def update_last_used(session: Session, key: ApiKey) -> None:
    """Records roughly when a key was last used."""
    stale = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < func.now() - _USE_IS_NOTED_EVERY)
    session.execute(
        update(ApiKey).where(ApiKey.id == key.id, stale).values(last_used_at=func.now()),
        execution_options={"synchronize_session": False},
    )


def list_for_tenant(session: Session, tenant_id: uuid.UUID, before: uuid.UUID | None, limit: int) -> Sequence[ApiKey]:
    """A tenant's keys, revoked and expired ones too, newest first, from the one before `before` on."""
    statement = select(ApiKey).where(ApiKey.tenant_id == tenant_id).order_by(ApiKey.id.desc()).limit(limit)
    return session.scalars(statement if before is None else statement.where(ApiKey.id < before)).all()


def get_by_id(session: Session, tenant_id: uuid.UUID, key_id: uuid.UUID) -> ApiKey | None:
    """The key, if it is this tenant's."""
    return session.scalars(select(ApiKey).where(ApiKey.id == key_id, ApiKey.tenant_id == tenant_id)).one_or_none()


def lock_and_count_usable(session: Session, tenant_id: uuid.UUID) -> int:
    """How many of a tenant's keys are neither revoked nor expired. Other transactions wait here until this one ends."""
    session.execute(select(Tenant.id).where(Tenant.id == tenant_id).with_for_update(key_share=True))
    usable = (ApiKey.revoked_at.is_(None), or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now()))
    return session.scalars(select(func.count()).where(ApiKey.tenant_id == tenant_id, *usable)).one()


def mark_revoked(session: Session, key_id: uuid.UUID) -> ApiKey | None:
    """Revokes a key for good; None when there was nothing to revoke."""
    return session.scalars(
        update(ApiKey)
        .where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(ApiKey)
    ).one_or_none()
