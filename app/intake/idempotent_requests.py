"""Accepts what is sent under an Idempotency-Key one time, however often it is sent.

Only what was accepted is remembered. A request that was refused, or met an error, has made nothing: the same request
again is judged anew.
"""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import structlog
from anyio import CancelScope, to_thread
from sqlalchemy.exc import SQLAlchemyError

from app.db.database import Database
from app.documents import JobDocument
from app.intake.acceptance import Intake
from app.intake.submission import Submission
from app.jobs import idempotency
from app.jobs.idempotency import KeyClaim, StoredResponse, Superseded

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """Who sends something, where to, and on which conditions."""

    tenant_id: uuid.UUID
    endpoint: str
    key: str | None
    cancel_after: timedelta | None


class IdempotentRequests:
    """Keeps keys. What it returns as a document is new; an Answered is how the same request was answered before."""

    def __init__(self, database: Database, intake: Intake, ttl: timedelta) -> None:
        self._database = database
        self._intake = intake
        self._ttl = ttl

    async def accept(self, terms: Terms, submission: Submission) -> JobDocument | StoredResponse:
        """See `Intake.accept`; raises KeyInUse and KeyReused besides."""
        if terms.key is None:
            return await self._intake.accept(terms.tenant_id, submission, terms.cancel_after)
        fingerprint = await to_thread.run_sync(submission.fingerprint, terms.endpoint, terms.cancel_after)
        claim = self._claim(terms, fingerprint)
        async with self._held(claim) as before:
            if before is not None:
                return before
            try:
                return await self._intake.accept(terms.tenant_id, submission, terms.cancel_after, claim)
            except Superseded:
                return await to_thread.run_sync(self._look, claim)

    @asynccontextmanager
    async def batch(self, terms: Terms, fingerprint: str) -> AsyncIterator[None]:
        """Holds the key of a whole batch, whose items have keys of their own. Raises KeyInUse and KeyReused."""
        if terms.key is None:
            yield
            return
        claim = self._claim(terms, fingerprint)
        async with self._held(claim) as before:
            yield
            if before is None:
                await to_thread.run_sync(self._complete_batch, claim)

    @asynccontextmanager
    async def _held(self, claim: KeyClaim) -> AsyncIterator[StoredResponse | None]:
        before = await to_thread.run_sync(self._take, claim)
        try:
            yield before
        except BaseException:
            if before is None:
                with CancelScope(shield=True):
                    await to_thread.run_sync(self._release, claim)
            raise

    def _claim(self, terms: Terms, fingerprint: str) -> KeyClaim:
        assert terms.key is not None
        return KeyClaim(terms.tenant_id, terms.key, fingerprint, uuid.uuid4(), self._ttl)

    def _take(self, claim: KeyClaim) -> StoredResponse | None:
        with self._database.transaction(durable=False) as session:
            return idempotency.claim(session, claim)

    def _look(self, claim: KeyClaim) -> StoredResponse:
        with self._database.statement() as session:
            return idempotency.get_response(session, claim)

    def _complete_batch(self, claim: KeyClaim) -> None:
        try:
            with self._database.transaction() as session:
                idempotency.complete(session, claim, StoredResponse(200, {}, None, None))
        except Superseded:
            pass  # by the same batch

    def _release(self, claim: KeyClaim) -> None:
        try:
            with self._database.statement() as session:
                idempotency.release(session, claim)
        except SQLAlchemyError as error:  # its lease runs out
            log.warning("key_not_released", error=type(error).__name__)
