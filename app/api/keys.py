"""/keys: the API keys of the caller's tenant. A key's text is shown once, when it is created."""

import uuid
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import AwareDatetime, BeforeValidator, Field

from app.access import issuing, key_repository
from app.access.identity import Scope
from app.api.dependencies import Administrator, Database, Settings
from app.api.openapi import DOCUMENT, headers, problems
from app.api.pages import Cursor, Limit, Listing, NextCursor
from app.api.request_bodies import DocumentRoute
from app.document_base import Document
from app.errors import InsufficientScope, InvalidRequest, NotFound

router = APIRouter(prefix="/keys", tags=["keys"], route_class=DocumentRoute)

# Each key has a rate limit of its own, so their number bounds the rate of a tenant.
_MAX_USABLE = 100
_LOCATION = {"Location": {"description": "the path of the key", "schema": {"type": "string"}}}


def _each_once(value: object) -> object:
    if isinstance(value, list) and any(value.count(each) > 1 for each in value):
        raise ValueError("must name each scope once")
    return value


class NewKeyRequest(Document):
    """The properties of a new key."""

    name: str = Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$", examples=["moderation queue"])
    scopes: Annotated[frozenset[Scope], Field(min_length=1), BeforeValidator(_each_once)] = Field(
        description="`submit`: submit images, cancel and delete jobs; `read`: read jobs; `admin`: keys, webhooks, "
        "screening and the audit log. None implies another, and a key can only grant scopes that it has"
    )
    expires_at: AwareDatetime | None = Field(
        None,
        description="at most when the key that creates it expires; null: then, or never if that one does not expire",
        examples=["2999-12-31T00:00:00Z"],
    )
    requests_per_minute: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="at most the limit of the key that creates it; null: that limit, or the tenant's if it has none",
    )


class KeyDocument(Document):
    """A key, without its text."""

    id: uuid.UUID
    name: str
    prefix: str = Field(description="the first characters of the key", examples=["wd_4kZb9xQ2"])
    scopes: list[Scope]
    requests_per_minute: int | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="to about a minute")


class NewKeyDocument(KeyDocument):
    """A new key with its text."""

    key: str = Field(description="store it: it is not shown again")


class KeysDocument(Document):
    """A page of keys, newest first."""

    keys: list[KeyDocument]
    next_cursor: NextCursor


@router.post(
    "",
    status_code=201,
    responses=headers(201, _LOCATION) | problems(*DOCUMENT, InsufficientScope),
)
def create_key(
    new: NewKeyRequest,
    request: Request,
    response: Response,
    caller: Administrator,
    settings: Settings,
    database: Database,
) -> NewKeyDocument:
    """Create a key for the tenant."""
    caller.require(new.scopes)
    limit = caller.requests_per_minute or settings.access.requests_per_minute
    if new.requests_per_minute is not None and new.requests_per_minute > limit:
        raise _invalid("requests_per_minute", f"must be {limit} or less, the limit of this key")
    if new.expires_at is not None and new.expires_at <= datetime.now(UTC):
        raise _invalid("expires_at", "must be in the future")
    if caller.expires_at is not None and new.expires_at is not None and new.expires_at > caller.expires_at:
        raise _invalid("expires_at", f"must be {caller.expires_at.isoformat()} or before, when this key expires")
    with database.transaction() as session:
        if key_repository.lock_and_count_usable(session, caller.tenant_id) >= _MAX_USABLE:
            raise InvalidRequest(f"A tenant may have {_MAX_USABLE} valid keys; revoke one first.")
        key, text = issuing.issue(
            session,
            caller.tenant_id,
            caller.actor,
            new.name,
            new.scopes,
            expires_at=new.expires_at or caller.expires_at,
            requests_per_minute=new.requests_per_minute or caller.own_requests_per_minute,
            request_id=request.state.request_id,
        )
        session.refresh(key)
    response.headers["Location"] = f"/keys/{key.id}"
    return NewKeyDocument(**KeyDocument.model_validate(key).model_dump(), key=text)


@router.get("", responses=problems(InvalidRequest))
def list_keys(
    caller: Administrator,
    database: Database,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> KeysDocument:
    """List the tenant's keys, newest first, revoked and expired ones included."""
    listing = Listing("keys", caller.tenant_id)
    with database.statement() as session:
        rows = key_repository.list_for_tenant(session, caller.tenant_id, listing.after_id(cursor), limit + 1)
    page, next_cursor = listing.page(rows, limit)
    return KeysDocument(keys=[KeyDocument.model_validate(row) for row in page], next_cursor=next_cursor)


@router.get("/{key_id:uuid}", responses=problems(NotFound))
def get_key(key_id: uuid.UUID, caller: Administrator, database: Database) -> KeyDocument:
    """Get a key, without its text."""
    with database.statement() as session:
        key = key_repository.get_by_id(session, caller.tenant_id, key_id)
    if key is None:
        raise NotFound(f"There is no key {key_id}.")
    return KeyDocument.model_validate(key)


@router.delete("/{key_id:uuid}", status_code=204, responses=problems(NotFound))
def revoke_key(key_id: uuid.UUID, request: Request, caller: Administrator, database: Database) -> None:
    """Revoke a key permanently, also the one that is used here. It is refused everywhere a few seconds later."""
    with database.transaction() as session:
        key = key_repository.get_by_id(session, caller.tenant_id, key_id)
        if key is None:
            raise NotFound(f"There is no key {key_id}.")
        issuing.revoke(session, key, caller.actor, request.state.request_id)


def _invalid(member: str, detail: str) -> InvalidRequest:
    return InvalidRequest(
        "The key cannot be created; `errors` lists why.", errors=[{"detail": detail, "pointer": f"#/{member}"}]
    )
