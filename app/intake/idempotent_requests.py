"""Accepts a request with an Idempotency-Key once, however often it is sent.

Only accepted requests are remembered. A request that was refused or failed has created nothing: sent again, it is
processed like a new one.
"""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import structlog
from anyio import CancelScope, to_thread
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers

from app.db.database import Database
from app.documents import JobDocument
from app.intake.acceptance import Intake
from app.intake.submission import Submission, read_cancel_after, read_idempotency_key
from app.jobs import idempotency
from app.jobs.idempotency import KeyClaim, StoredResponse, Superseded

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a request says beside its body: tenant, endpoint, and the headers `Idempotency-Key` and `Cancel-After`."""

    tenant_id: uuid.UUID
    endpoint: str
    key: str | None
    cancel_after: timedelta | None

    @classmethod
    def of(cls, tenant_id: uuid.UUID, endpoint: str, headers: Headers) -> "Terms":
        """Read from the headers. Raises MalformedRequest and InvalidRequest."""
        key = read_idempotency_key(headers.getlist("idempotency-key"))
        return cls(tenant_id, endpoint, key, read_cancel_after(headers.get("cancel-after")))


class IdempotentRequests:
    """Claims keys. A JobDocument is a new job; a StoredResponse is the response to the same request before."""

    def __init__(self, database: Database, intake: Intake, ttl: timedelta) -> None:
        self._database = database
        self._intake = intake
        self._ttl = ttl

    async def accept(self, terms: Terms, submission: Submission) -> JobDocument | StoredResponse:
        """As `Intake.accept`, which documents its errors; also raises KeyInUse and KeyReused."""
        if terms.key is None:
            return await self._intake.accept(terms.tenant_id, submission, terms.cancel_after)
        fingerprint = await to_thread.run_sync(submission.fingerprint, terms.endpoint, terms.cancel_after)
        claim = self._new_claim(terms, fingerprint)
        async with self._held(claim) as before:
            if before is not None:
                return before
            try:
                return await self._intake.accept(terms.tenant_id, submission, terms.cancel_after, claim)
            except Superseded:
                return await to_thread.run_sync(self._get_response, claim)

    @asynccontextmanager
    async def batch(self, terms: Terms, fingerprint: str) -> AsyncIterator[None]:
        """Holds the key of a whole batch; its items have keys of their own. Raises KeyInUse and KeyReused."""
        if terms.key is None:
            yield
            return
        claim = self._new_claim(terms, fingerprint)
        async with self._held(claim) as before:
            yield
            if before is None:
                await to_thread.run_sync(self._complete_batch, claim)

    @asynccontextmanager
    async def _held(self, claim: KeyClaim) -> AsyncIterator[StoredResponse | None]:
        before = await to_thread.run_sync(self._insert_claim, claim)
        try:
            yield before
        except BaseException:
            if before is None:
                with CancelScope(shield=True):
                    await to_thread.run_sync(self._release, claim)
            raise

    def _new_claim(self, terms: Terms, fingerprint: str) -> KeyClaim:
        assert terms.key is not None
        return KeyClaim(terms.tenant_id, terms.key, fingerprint, uuid.uuid4(), self._ttl)

    def _insert_claim(self, claim: KeyClaim) -> StoredResponse | None:
        with self._database.transaction(durable=False) as session:
            return idempotency.claim(session, claim)

    def _get_response(self, claim: KeyClaim) -> StoredResponse:
        with self._database.statement() as session:
            return idempotency.get_response(session, claim)

    def _complete_batch(self, claim: KeyClaim) -> None:
        try:
            with self._database.transaction() as session:
                idempotency.complete(session, claim, StoredResponse(200, {}, None, None))
        except Superseded:
            pass  # by another request with the same batch

    def _release(self, claim: KeyClaim) -> None:
        try:
            with self._database.statement() as session:
                idempotency.release(session, claim)
        except SQLAlchemyError as error:  # the claim's lease expires
            log.warning("key_not_released", error=type(error).__name__)
