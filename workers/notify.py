"""Sends webhook deliveries that are due, each in a thread of its own, so that a slow receiver delays no other.

A message only wakes this up. Rows say what is due; a lease on each lets another process send what this one, killed,
has not recorded. So an event arrives at least once, and maybe twice, with the same id.
"""

import random
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Condition, Lock

import structlog

from app.access.audit import record
from app.db.database import Database
from app.egress import EgressClient, EgressResponse
from app.errors import ServiceError
from app.settings import Settings
from app.telemetry.metrics import WEBHOOK_ATTEMPTS, WEBHOOK_DURATION
from app.webhooks import deliveries, endpoints
from app.webhooks.deliveries import Attempt, DeliveryClaim, DeliveryTarget, Room
from app.webhooks.endpoints import receiver_rules
from app.webhooks.schedule import AttemptOutcome, DeliveryState, Uniform, decide
from app.webhooks.signing import signed_headers

log = structlog.get_logger(__name__)

# For recording an attempt: waiting for a lock takes ten seconds at most.
_RECORDING = timedelta(seconds=15)
_MAX_TARGET = 500
_ACTOR = "webhooks"


def _redirect(reply: EgressResponse) -> str | None:
    """A sentence with the target of a redirect, which is not followed; None for other responses."""
    if not 300 <= reply.status < 400 or not (target := reply.headers.get("location", "")):
        return None
    shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in target[:_MAX_TARGET])
    return f"The receiver redirects to {shown}. Redirects are not followed: register that address."


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


class WebhookSender:
    """The threads of one process that deliver, and the receivers that asked it for a pause."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        clock: Callable[[], datetime] = utc_now,
        uniform: Uniform = random.uniform,
    ) -> None:
        self._database = database
        self._settings = settings.webhooks
        self._outbound = EgressClient(receiver_rules(settings))
        self._clock = clock
        self._uniform = uniform
        self._lock = Lock()
        self._idle = Condition(self._lock)
        self._claiming = Lock()
        self._running: Counter[DeliveryTarget] = Counter()  # attempts
        self._busy = 0
        self._paused: dict[str, datetime] = {}
        self._threads = ThreadPoolExecutor(self._settings.concurrency, "webhook")
        self._closed = False

    def send_due(self) -> None:
        """Starts due attempts, as many as there are threads for; each starts further ones when it is over."""
        while self._claim():
            pass

    def wait_until_idle(self) -> None:
        """Returns when no thread is delivering or claiming any more."""
        with self._idle:
            self._idle.wait_for(lambda: self._busy == 0)

    def any_due(self) -> bool:
        """Whether any delivery is due, for whichever process."""
        with self._database.statement() as session:
            return deliveries.exists_due(session, self._clock())

    def close(self) -> None:
        """Starts no more attempts, waits for those that are running and closes their connections."""
        with self._claiming:
            self._closed = True
        self._threads.shutdown()
        self._outbound.close()

    def _claim(self) -> bool:
        # One at a time, so that what several threads have room for is claimed in one statement.
        with self._claiming:
            now = self._clock()
            with self._lock:
                running = Counter(self._running)
                self._paused = {url: until for url, until in self._paused.items() if until > now}
                paused = list(self._paused)
            if running.total() >= self._settings.concurrency or self._closed:
                return False
            # Durable, and with it everything that was committed before: no event reports what a crash could undo.
            with self._database.transaction() as session:
                room = Room(self._settings.concurrency, self._settings.per_host, running, paused)
                claims = deliveries.claim_due(session, now, self._settings.timeout + _RECORDING, room)
            with self._lock:
                self._running.update(claim.target for claim in claims)
                self._busy += len(claims)
            for claim in claims:
                self._threads.submit(self._deliver, claim)
        return bool(claims)

    def _deliver(self, claim: DeliveryClaim) -> None:
        with structlog.contextvars.bound_contextvars(delivery_id=str(claim.id), attempt=claim.attempt):
            try:
                self._attempt(claim)
            except Exception as error:  # Postgres is unavailable: when the lease is over, it is sent again
                log.error("delivery_not_recorded", exc_info=error)
            finally:
                with self._lock:
                    self._running -= Counter([claim.target])
        try:
            self.send_due()
        except Exception as error:  # the sweep enqueues a message again
            log.warning("deliveries_not_claimed", error=type(error).__name__)
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    def _attempt(self, claim: DeliveryClaim) -> None:
        started_at, began = self._clock(), time.monotonic()
        headers = signed_headers(claim.id, started_at, claim.payload, claim.secrets)
        response = error = None
        try:
            timeout, owner = self._settings.timeout, claim.target.tenant_id
            reply = self._outbound.post(
                claim.url, claim.payload.encode(), headers, timeout, status_only=True, owner=owner
            )
        except ServiceError as failure:
            outcome, error = AttemptOutcome(None, {}, failure.permanent), failure.detail
        except Exception as bug:  # counted like any other failure, so that the schedule bounds it
            log.error("delivery_error", exc_info=bug)
            outcome, error = AttemptOutcome(None, {}), "The request could not be made; the operator's log says why."
        else:
            outcome = AttemptOutcome(reply.status, reply.headers)
            response = reply.body.decode(errors="replace").replace("\x00", "\ufffd")
            error = _redirect(reply)
        attempt = Attempt(started_at, time.monotonic() - began, outcome.status, response, error)
        decision = decide(claim.attempt, outcome, self._clock(), self._uniform)
        if decision.pause_until is not None:
            with self._lock:
                self._paused[claim.url] = decision.pause_until
        with self._database.statement() as session:
            stood = deliveries.record_attempt(session, claim, attempt, decision)
        if claim.endpoint_id is not None and stood.recorded and decision.state is not DeliveryState.DELIVERED:
            failing_for = started_at - (stood.failing_since or started_at)
            if decision.gone:
                self._disable(claim.endpoint_id, endpoints.GONE_REASON)
            elif failing_for > self._settings.disable_after:
                self._disable(claim.endpoint_id, endpoints.FAILING_REASON.format(days=failing_for / timedelta(days=1)))
        WEBHOOK_ATTEMPTS.labels(decision.state.value).inc()
        WEBHOOK_DURATION.observe(attempt.seconds)
        log.info("delivery_attempted", status=outcome.status, state=decision.state.value)

    def _disable(self, endpoint_id: uuid.UUID, reason: str) -> None:
        """Disables an endpoint, with an event for the tenant's others; the thread claims that when this is over."""
        with self._database.transaction() as session:
            disabled = endpoints.disable(session, endpoint_id, reason)
            if disabled is None:
                return
            deliveries.insert_disabled(session, disabled)
            record(session, disabled.tenant_id, _ACTOR, "webhook.disabled", str(endpoint_id), reason=reason)
        log.warning("endpoint_disabled", endpoint_id=str(endpoint_id), reason=reason)
