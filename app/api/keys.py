"""/keys: the keys of the caller's tenant. A key is shown once, when it is made; afterwards only what it is good for."""

import uuid
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime, BeforeValidator, Field

from app.access import issuing, key_repository
from app.access.scopes import Scope
from app.api.dependencies import Administrator, Database, Settings
from app.api.openapi import headers, problems
from app.db.models import ApiKey
from app.documents import Document
from app.errors import InsufficientScope, InvalidRequest, MalformedRequest, NotFound, StorageUnavailable, UploadTooLarge

router = APIRouter(prefix="/keys", tags=["keys"])

# Each key has a rate of its own, so their number is what bounds a tenant's.
_MAX_USABLE = 100
_LOCATION = {"Location": {"description": "where to find it", "schema": {"type": "string"}}}


def _each_once(value: object) -> object:
    if isinstance(value, list) and any(value.count(each) > 1 for each in value):
        raise ValueError("must name each scope once")
    return value


class NewKeyRequest(Document):
    """What a key is to be good for."""

    name: str = Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$", examples=["moderation queue"])
    scopes: Annotated[frozenset[Scope], Field(min_length=1), BeforeValidator(_each_once)] = Field(
        description="`submit`: hand in images and withdraw them; `read`: see jobs; `admin`: keys, webhooks, screening "
        "and the audit log. None stands for another, and a key can only give what it has"
    )
    expires_at: AwareDatetime | None = Field(
        None, description="from when on it opens nothing; never where not given", examples=["2999-12-31T00:00:00Z"]
    )
    requests_per_minute: int | None = Field(
        None, ge=1, le=1_000_000, description="no more than the tenant's keys have anyway, which is what null means"
    )


class KeyDocument(Document):
    """A key, without what makes it one."""

    id: uuid.UUID
    name: str
    prefix: str = Field(description="how the key begins", examples=["wd_4kZb9xQ2"])
    scopes: list[Scope]
    requests_per_minute: int | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="give or take a minute")


class NewKeyDocument(KeyDocument):
    """A key that was just made."""

    key: str = Field(description="keep it well: it is not shown again")


class KeysDocument(Document):
    """A page of keys, newest first."""

    keys: list[KeyDocument]
    next_cursor: str | None = Field(description="give it as `cursor` for the page after this; null on the last one")


@router.post(
    "",
    status_code=201,
    responses=headers(201, _LOCATION)
    | problems(MalformedRequest, InsufficientScope, UploadTooLarge, InvalidRequest, StorageUnavailable),
)
def create_key(
    new: NewKeyRequest,
    request: Request,
    response: Response,
    caller: Administrator,
    settings: Settings,
    database: Database,
) -> NewKeyDocument:
    """Make a key for the tenant."""
    for scope in new.scopes:
        caller.holding(scope)
    limit = caller.requests_per_minute or settings.access.requests_per_minute
    if new.requests_per_minute is not None and new.requests_per_minute > limit:
        raise _wrong("requests_per_minute", f"must be {limit} or less, which is what this key has")
    if new.expires_at is not None and new.expires_at <= datetime.now(UTC):
        raise _wrong("expires_at", "must be in the future")
    with database.transaction() as session:
        key, text = issuing.issue(
            session,
            caller.tenant_id,
            caller.actor,
            new.name,
            new.scopes,
            expires_at=new.expires_at,
            requests_per_minute=new.requests_per_minute,
            request_id=request.state.request_id,
        )
        if key_repository.count_usable(session, caller.tenant_id) > _MAX_USABLE:
            raise InvalidRequest(f"There may be {_MAX_USABLE} keys that are in force; revoke one first.")
        session.refresh(key)
    response.headers["Location"] = f"/keys/{key.id}"
    return NewKeyDocument(**_fields(key), key=text)


@router.get("", responses=problems(InvalidRequest, StorageUnavailable))
def list_keys(
    caller: Administrator,
    database: Database,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: uuid.UUID | None = None,
) -> KeysDocument:
    """List the tenant's keys, also those that were revoked or have expired."""
    with database.statement() as session:
        rows = key_repository.list_for_tenant(session, caller.tenant_id, cursor, limit + 1)
    page = rows[:limit]
    return KeysDocument(
        keys=[KeyDocument(**_fields(row)) for row in page],
        next_cursor=str(page[-1].id) if len(rows) > limit else None,
    )


@router.get("/{key_id:uuid}", responses=problems(NotFound, StorageUnavailable))
def get_key(key_id: uuid.UUID, caller: Administrator, database: Database) -> KeyDocument:
    """Show a key, without what makes it one."""
    with database.statement() as session:
        key = key_repository.get_by_id(session, caller.tenant_id, key_id)
    if key is None:
        raise NotFound(f"There is no key {key_id}.")
    return KeyDocument(**_fields(key))


@router.delete("/{key_id:uuid}", status_code=204, responses=problems(NotFound, StorageUnavailable))
def revoke_key(key_id: uuid.UUID, request: Request, caller: Administrator, database: Database) -> None:
    """Revoke a key for good, also the one that is being used. A few seconds later it opens nothing any more."""
    with database.transaction() as session:
        key = key_repository.get_by_id(session, caller.tenant_id, key_id)
        if key is None:
            raise NotFound(f"There is no key {key_id}.")
        issuing.revoke(session, key, caller.actor, request.state.request_id)


def _wrong(member: str, detail: str) -> InvalidRequest:
    return InvalidRequest(
        "The key cannot be made as asked; `errors` lists why.", errors=[{"detail": detail, "pointer": f"#/{member}"}]
    )


def _fields(row: ApiKey) -> dict[str, object]:
    return {field: getattr(row, field) for field in KeyDocument.model_fields}
