"""/screening: a tenant's own hash lists and text rules, against which its images and texts are screened.

Lists and rules for all tenants belong to the operator, on the command line; they are not shown here.
"""

import tempfile
import uuid
from datetime import datetime
from typing import Annotated, BinaryIO

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response
from pydantic import Field
from sqlalchemy.orm import Session

from app.access.audit import record
from app.api.dependencies import Administrator, Database, Identity, Settings
from app.api.openapi import DOCUMENT, Responses, headers, problems
from app.api.request_bodies import DocumentRoute
from app.document_base import Document
from app.errors import (
    InvalidRequest,
    NotFound,
    UnsupportedMediaType,
    UploadTimeout,
    UploadTooLarge,
)
from app.intake.request_body import receive_body
from app.screening import repository as store
from app.screening.hash_csv import DEFAULT_DISTANCE, MAX_DISTANCE, HashFile
from app.screening.patterns import MAX_PATTERN, RuleKind, compile_rule

router = APIRouter(prefix="/screening", tags=["screening"], route_class=DocumentRoute)

_MAX_LISTS = 100
_MAX_RULES = 200

_FOUND = problems(NotFound)
_LOCATION = {"Location": {"description": "its path", "schema": {"type": "string"}}}
_CSV = {
    "required": True,
    "content": {
        "text/csv": {
            "schema": {"type": "string", "pattern": r"^[0-9a-f]{64}(\n[0-9a-f]{64})*\n?$"},
            "example": "hash,type,tags\n" + "d8f8f0cce0f4a84f" * 4 + ",pdq,violence\n",
        }
    },
}

Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$", examples=["house list"])]


class HashListDocument(Document):
    """A list of perceptual hashes (PDQ) of blocked images."""

    id: uuid.UUID
    name: str
    max_distance: int = Field(description="an image matches up to this Hamming distance, in bits of 256")
    hashes: int
    created_at: datetime
    updated_at: datetime


class SavedHashListDocument(HashListDocument):
    """The saved list, and how many lines of the file were ignored."""

    other_types: int = Field(description="lines ignored because their `type` is not PDQ")
    low_quality: int = Field(description="lines ignored because their `quality` is below 50")


class HashListsDocument(Document):
    """The tenant's own lists, by name."""

    hash_lists: list[HashListDocument]


class NewTextRule(Document):
    """A pattern that captions and prompts must not match."""

    name: Name
    kind: RuleKind = Field(
        description="`words`: a word or phrase per line, matched as whole words in any case; `regex`: RE2 syntax, "
        "matched anywhere, case-sensitive unless with `(?i)`"
    )
    pattern: str = Field(min_length=1, max_length=MAX_PATTERN, examples=["guillotine\npublic execution"])


class TextRuleDocument(NewTextRule):
    """A text rule."""

    id: uuid.UUID
    created_at: datetime


class TextRulesDocument(Document):
    """The tenant's own rules, by name."""

    text_rules: list[TextRuleDocument]


def _created_or_replaced(document: type[Document]) -> Responses:
    replaced = {"model": document, "description": "the former one of that name was replaced", "headers": _LOCATION}
    return headers(201, _LOCATION) | {200: replaced}


@router.post(
    "/hash-lists",
    status_code=201,
    response_description="a new list",
    responses=_created_or_replaced(SavedHashListDocument) | problems(*DOCUMENT, UploadTimeout, UnsupportedMediaType),
    openapi_extra={"requestBody": _CSV},
)
async def save_hash_list(
    request: Request,
    response: Response,
    caller: Administrator,
    settings: Settings,
    database: Database,
    name: Annotated[Name, Query()],
    max_distance: Annotated[int, Query(ge=0, le=MAX_DISTANCE)] = DEFAULT_DISTANCE,
) -> SavedHashListDocument:
    """Create a list from a CSV file as ThreatExchange's tools write it; a list of that name is replaced atomically.

    A line has a hash of 64 hexadecimal digits. A header may name its column `hash`, `indicator`, `signal_str`, `pdq` or
    `pdq_hash`, beside `type` or `signal_type`, `quality` and `tags` (separated by spaces).
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "text/csv":
        raise UnsupportedMediaType("Send the hash list as text/csv.")
    limit = settings.screening.max_list_bytes
    refusal = UploadTooLarge(f"A hash list may have at most {limit:,} bytes.", max_bytes=limit)
    with tempfile.TemporaryFile() as file:
        await receive_body(request.headers, request.receive, limit, refusal, file.write, settings.intake)
        file.seek(0)
        saved, created = await to_thread.run_sync(_save_list, database, request, caller, name, max_distance, file)
    _set_location(response, f"/screening/hash-lists/{saved.id}", created)
    return saved


@router.get("/hash-lists", responses=problems())
def list_hash_lists(caller: Administrator, database: Database) -> HashListsDocument:
    """List the hash lists."""
    with database.statement() as session:
        found = store.list_hash_lists_owned_by(session, caller.tenant_id)
    return HashListsDocument(hash_lists=[HashListDocument.model_validate(each) for each in found])


@router.get("/hash-lists/{list_id:uuid}", responses=_FOUND)
def get_hash_list(list_id: uuid.UUID, caller: Administrator, database: Database) -> HashListDocument:
    """Get a hash list, without its hashes."""
    with database.statement() as session:
        found = store.get_hash_list(session, caller.tenant_id, list_id)
    if found is None:
        raise NotFound(f"There is no hash list {list_id}.")
    return HashListDocument.model_validate(found)


@router.delete("/hash-lists/{list_id:uuid}", status_code=204, responses=_FOUND)
def delete_hash_list(list_id: uuid.UUID, request: Request, caller: Administrator, database: Database) -> None:
    """Delete a hash list."""
    with database.transaction() as session:
        name = store.delete_hash_list(session, caller.tenant_id, list_id)
        if name is None:
            raise NotFound(f"There is no hash list {list_id}.")
        _note(session, request, caller, "hash_list.deleted", list_id, name)


@router.post(
    "/text-rules",
    status_code=201,
    response_description="a new rule",
    responses=_created_or_replaced(TextRuleDocument) | problems(*DOCUMENT),
)
def save_text_rule(
    new: NewTextRule, request: Request, response: Response, caller: Administrator, database: Database
) -> TextRuleDocument:
    """Add a text rule; a rule of that name is replaced."""
    compile_rule(new.kind, new.pattern)
    with database.transaction() as session:
        rule, created = store.upsert_rule(session, caller.tenant_id, new.name, new.kind, new.pattern)
        if created and len(store.list_rules_owned_by(session, caller.tenant_id)) > _MAX_RULES:
            raise InvalidRequest(f"A tenant may have {_MAX_RULES} text rules; delete one first.")
        _note(session, request, caller, "text_rule.saved", rule.id, new.name)
    _set_location(response, f"/screening/text-rules/{rule.id}", created)
    return TextRuleDocument.model_validate(rule)


@router.get("/text-rules", responses=problems())
def list_text_rules(caller: Administrator, database: Database) -> TextRulesDocument:
    """List the text rules."""
    with database.statement() as session:
        found = store.list_rules_owned_by(session, caller.tenant_id)
    return TextRulesDocument(text_rules=[TextRuleDocument.model_validate(each) for each in found])


@router.get("/text-rules/{rule_id:uuid}", responses=_FOUND)
def get_text_rule(rule_id: uuid.UUID, caller: Administrator, database: Database) -> TextRuleDocument:
    """Get a text rule."""
    with database.statement() as session:
        found = store.get_rule(session, caller.tenant_id, rule_id)
    if found is None:
        raise NotFound(f"There is no text rule {rule_id}.")
    return TextRuleDocument.model_validate(found)


@router.delete("/text-rules/{rule_id:uuid}", status_code=204, responses=_FOUND)
def delete_text_rule(rule_id: uuid.UUID, request: Request, caller: Administrator, database: Database) -> None:
    """Delete a text rule."""
    with database.transaction() as session:
        name = store.delete_rule(session, caller.tenant_id, rule_id)
        if name is None:
            raise NotFound(f"There is no text rule {rule_id}.")
        _note(session, request, caller, "text_rule.deleted", rule_id, name)


def _save_list(
    database: Database, request: Request, caller: Identity, name: str, max_distance: int, file: BinaryIO
) -> tuple[SavedHashListDocument, bool]:
    hashes = HashFile(file)
    with database.transaction() as session:
        list_id, created = store.upsert_list(session, caller.tenant_id, name, max_distance, hashes.rows())
        if created and len(store.list_hash_lists_owned_by(session, caller.tenant_id)) > _MAX_LISTS:
            raise InvalidRequest(f"A tenant may have {_MAX_LISTS} hash lists; delete one first.")
        _note(session, request, caller, "hash_list.saved", list_id, name)
        found = store.get_hash_list(session, caller.tenant_id, list_id)
    assert found is not None
    ignored = {"other_types": hashes.other_types, "low_quality": hashes.low_quality}
    return SavedHashListDocument(**HashListDocument.model_validate(found).model_dump(), **ignored), created


def _set_location(response: Response, path: str, created: bool) -> None:
    response.status_code = 201 if created else 200
    response.headers["Location"] = path


def _note(session: Session, request: Request, caller: Identity, action: str, subject: uuid.UUID, name: str) -> None:
    record(session, caller.tenant_id, caller.actor, action, str(subject), request.state.request_id, name=name)
