"""SQL of idempotency keys: which request that must not be done twice is in progress, and the response of each.

A key is completed in the transaction that inserts its job, so that there is either both or nothing. An owner that
died loses its key after a lease; should it still live, the first of both to complete the key has made the one job.
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.errors import KeyInUse, KeyReused

BATCH = 1_000
# How long a owner may be silent; a request that takes longer than this is not hindered by one that takes over.
LEASE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class KeyClaim:
    """One request's hold on a key."""

    tenant_id: uuid.UUID
    key: str
    fingerprint: str
    owner: uuid.UUID
    ttl: timedelta


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """How the first request with a key was answered. Without a body, what the job is now stands for it."""

    status: int
    headers: Mapping[str, str]
    body: str | None
    job_id: uuid.UUID | None


class Superseded(Exception):
    """Another request has completed the key meanwhile."""


def claim(session: Session, wanted: KeyClaim) -> StoredResponse | None:
    """Takes the key; or says how its request was answered. Raises KeyInUse or KeyReused.

    To be committed before the work begins.
    """
    given = _given(wanted) | {"lease": LEASE}
    if session.execute(_CLAIM, given).one_or_none() is not None:
        return None
    return get_response(session, wanted)


def get_response(session: Session, wanted: KeyClaim) -> StoredResponse:
    """How the key's request was answered. Raises KeyInUse or KeyReused."""
    row = session.execute(_LOOK, _given(wanted)).one_or_none()
    if row is not None and row.fingerprint != wanted.fingerprint:
        raise KeyReused(
            "This Idempotency-Key was used for another request; a new request needs a new key, and a retry must be "
            "the same to the byte in image and options."
        )
    if row is None or row.status is None:
        raise KeyInUse(
            "The first request with this Idempotency-Key is still being worked on; try again in a second.",
            headers={"Retry-After": "1"},
        )
    return StoredResponse(row.status, row.headers or {}, row.body, row.job_id)


def complete(session: Session, held: KeyClaim, answer: StoredResponse) -> None:
    """Stores the answer, in the transaction that makes it true. Raises Superseded: that transaction must not commit."""
    given = _given(held) | {
        "status": answer.status,
        "headers": json.dumps(dict(answer.headers)),
        "body": answer.body,
        "job_id": answer.job_id,
    }
    if session.execute(_COMPLETE, given).one_or_none() is None:
        raise Superseded


def release(session: Session, held: KeyClaim) -> None:
    """Lets go of a key whose request came to nothing; one that was completed stays."""
    session.execute(_RELEASE, _given(held))


def delete_expired(session: Session) -> int:
    """Removes a portion of the keys past their time; how many."""
    return len(session.execute(_EXPIRE, {"limit": BATCH}).all())


def _given(claim: KeyClaim) -> dict[str, object]:
    return {
        "tenant_id": claim.tenant_id,
        "key": claim.key,
        "fingerprint": claim.fingerprint,
        "owner": claim.owner,
        "ttl": claim.ttl,
    }


_CLAIM = text(
    """
    INSERT INTO idempotency_keys AS k (tenant_id, key, fingerprint, owner, lease_until, expires_at)
    VALUES (:tenant_id, :key, :fingerprint, :owner, now() + :lease, now() + :ttl)
    ON CONFLICT (tenant_id, key) DO UPDATE SET
        fingerprint = excluded.fingerprint, owner = excluded.owner, lease_until = excluded.lease_until,
        expires_at = excluded.expires_at, created_at = now(), status = NULL, headers = NULL, body = NULL, job_id = NULL
    WHERE k.expires_at < now()
        OR (k.status IS NULL AND k.lease_until < now() AND k.fingerprint = excluded.fingerprint)
    RETURNING owner
    """
)
_LOOK = text(
    """
    SELECT fingerprint, status, headers, body, job_id FROM idempotency_keys WHERE tenant_id = :tenant_id AND key = :key
    """
)
# The row may be gone: a owner that took over has failed and let go.
_COMPLETE = text(
    """
    INSERT INTO idempotency_keys AS k
        (tenant_id, key, fingerprint, owner, lease_until, expires_at, status, headers, body, job_id)
    VALUES (:tenant_id, :key, :fingerprint, :owner, now(), now() + :ttl, :status, CAST(:headers AS jsonb), :body,
            :job_id)
    ON CONFLICT (tenant_id, key) DO UPDATE SET
        status = excluded.status, headers = excluded.headers, body = excluded.body, job_id = excluded.job_id
    WHERE k.status IS NULL AND k.fingerprint = excluded.fingerprint
    RETURNING key
    """
)
_RELEASE = text(
    """
    DELETE FROM idempotency_keys
    WHERE tenant_id = :tenant_id AND key = :key AND owner = :owner AND status IS NULL
    """
)
_EXPIRE = text(
    """
    DELETE FROM idempotency_keys WHERE (tenant_id, key) IN (
        SELECT tenant_id, key FROM idempotency_keys WHERE expires_at < now() LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    RETURNING key
    """
)
