"""Deliveries on their way to receivers that answer, fail, hang, throttle, or are gone; days of it, in seconds."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, select, text, update

from app.db.models import (
    DEFAULT_TENANT,
    AuditEntry,
    Clearing,
    Job,
    JobStatus,
    Tenant,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
)
from app.jobs import retention_repository, service
from app.queue.steps import NOTIFY_TASK, RESYNTHESIZE_TASK
from app.webhooks import deliveries, endpoints
from app.webhooks.deliveries import Room
from app.webhooks.events import EventType
from app.webhooks.schedule import JITTER, SCHEDULE, Decision, DeliveryState
from tests.workers.harness import Bench
from tests.workers.receiver import Answer, Clock, Message, Receiver, accept, receive, reset
from tests.workers.test_story import THREE, Make
from workers.notify import WebhookSender

SECOND = timedelta(seconds=1)
NAMES = tuple(kind.value for kind in EventType)


MakeSender = Callable[..., WebhookSender]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What the sender and the receivers go by."""
    return Clock(monkeypatch)


@pytest.fixture
def make_sender(clock: Clock) -> Iterator[MakeSender]:
    """Makes senders over a bench's database, `make_sender(here, concurrency=4)`, and closes them at the end."""
    with ExitStack() as closing:

        def make(here: Bench, **webhooks: Any) -> WebhookSender:
            groups = {
                "webhooks": here.process.settings.webhooks.model_copy(update={"allow_http": True} | webhooks),
                "egress": here.process.settings.egress.model_copy(update={"allow": ("127.0.0.1",)}),
            }
            settings = here.process.settings.model_copy(update=groups)
            sender = WebhookSender(here.process.storage.database, settings, clock, random.Random(7).uniform)
            closing.callback(sender.close)
            return sender

        yield make


def settle(sender: WebhookSender) -> None:
    """Sends what is due and waits until nothing is running."""
    sender.send_due()
    sender.wait_until_idle()


def run_silently(here: Bench) -> None:
    """Delivers all messages except those that start deliveries."""
    while here.broker.steps:
        step = here.broker.steps.popleft()
        if step.task != NOTIFY_TASK:
            here.deliver(step)


def add_endpoint(
    here: Bench,
    receiver: Receiver,
    path: str = "/endpoint",
    events: tuple[str, ...] = NAMES,
    tenant_id: uuid.UUID = DEFAULT_TENANT,
) -> Any:
    """An endpoint of a tenant, whose secret the receiver knows; its id."""
    with here.process.storage.database.transaction() as session:
        row = endpoints.insert_endpoint(
            session, tenant_id, receiver.url(path), [EventType(name) for name in events], None
        )
    receiver.secrets[path] = row.secrets[0]["secret"]
    return row.id


def own_url(here: Bench, receiver: Receiver, path: str = "/own") -> str:
    """An address for a job's `webhook_url`; the receiver knows the tenant's default secret."""
    with here.process.storage.database.transaction() as session:
        receiver.secrets[path] = endpoints.get_or_create_default_secret(session, DEFAULT_TENANT)
    return receiver.url(path)


def rows(here: Bench) -> list[WebhookDelivery]:
    """All deliveries, oldest first."""
    with here.process.storage.database.transaction() as session:
        return list(session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.id)))


def states(here: Bench) -> Counter[str]:
    """How many deliveries are in which state."""
    with here.process.storage.database.statement() as session:
        return Counter(session.scalars(select(WebhookDelivery.state)))


def ping(here: Bench, endpoint_id: Any, times: int = 1) -> None:
    """Deliveries without a job."""
    with here.process.storage.database.transaction() as session:
        endpoint = session.get_one(WebhookEndpoint, endpoint_id)
        for _ in range(times):
            deliveries.insert_ping(session, endpoint, endpoint.created_at)


def test_receivers_are_notified_from_start_to_end(bench: Make, make_sender: MakeSender) -> None:
    """Started, one event per source, completed: to the job's own address and to the tenant's endpoint."""
    here = bench({"a": "", "b": 'fail = "error"', "c": ""})
    with receive() as receiver:
        add_endpoint(here, receiver)
        job_id = here.submit(webhook_url=own_url(here, receiver), external_id="post-7", labels={"queue": "new"})
        run_silently(here)
        settle(make_sender(here))
    assert states(here) == {"delivered": 10}
    assert not receiver.unverified
    for path in ("/own", "/endpoint"):
        events = sorted((each for each in receiver.taken if each.path == path), key=lambda each: each.data["sequence"])
        assert [each.data["sequence"] for each in events] == [1, 2, 3, 4, 5]
        assert [each.body["type"] for each in events] == [
            "attribution.started",
            *["attribution.source_finished"] * 3,
            "attribution.completed",
        ]
        assert {each.data["source"]["source"]: each.data["source"]["state"] for each in events[1:4]} == {
            "a": "done",
            "b": "error",
            "c": "done",
        }
        assert all(each.data["id"] == str(job_id) for each in events)
        assert all((each.data["external_id"], each.data["metadata"]) == ("post-7", {"queue": "new"}) for each in events)
        assert len(events[-1].data["ranking"]) == events[-1].data["tested"] == 2


def test_an_end_and_its_delivery_are_one_transaction(bench: Make) -> None:
    """Postgres itself says so: the rows were written by the same transaction."""
    here = bench(THREE)
    job_id = here.submit(webhook_url="https://receiver.example/")
    run_silently(here)
    with here.process.storage.database.transaction() as session:
        written = session.execute(
            text(
                """
                SELECT d.type, d.xmin::text AS events, j.xmin::text AS ended, s.xmin::text AS generated
                FROM webhook_deliveries d JOIN jobs j ON j.id = d.job_id
                LEFT JOIN job_sources s ON s.job_id = d.job_id
                     AND s.source = d.payload::jsonb #>> '{data,source,source}'
                WHERE j.id = :id
                """
            ),
            {"id": job_id},
        ).all()
    assert len(written) == 5
    assert all(row.events == row.ended for row in written if row.type == EventType.COMPLETED)
    assert all(row.events == row.generated for row in written if row.type == EventType.SOURCE_FINISHED)


@pytest.mark.parametrize("end", ["refused", "sweep", "canceled"])
def test_every_way_to_end_is_notified(bench: Make, end: str) -> None:
    """A failed stage, a deadline, a cancelation: the last event reports it."""
    here = bench(THREE)
    job_id = here.submit(webhook_url="https://receiver.example/")
    if end == "refused":
        here.process.storage.blobs.delete(DEFAULT_TENANT, here.original(job_id))
        for _ in range(6):
            run_silently(here)
            here.pass_time(120)
            here.sweep()
    elif end == "sweep":
        here.pass_time(3_600)
        here.sweep()
    else:
        with here.process.storage.database.transaction() as session:
            assert service.cancel(session, DEFAULT_TENANT, job_id) is not None
            assert service.cancel(session, DEFAULT_TENANT, job_id) is None
    last = rows(here)[-1]
    wanted = EventType.CANCELED if end == "canceled" else EventType.FAILED
    assert (last.type, last.job_id) == (wanted, job_id)
    assert [row.type for row in rows(here)].count(wanted) == 1


def test_sources_that_the_sweep_ends_are_notified(bench: Make) -> None:
    """Those that were never generated in time finish, too."""
    here = bench(THREE)
    here.submit(webhook_url="https://receiver.example/", webhook_events=["attribution.source_finished"])
    here.run(until=lambda step: step.task == RESYNTHESIZE_TASK)
    here.pass_time(400)
    here.sweep()
    events = rows(here)
    assert [row.sequence for row in events] == [1, 2, 3]
    assert all('"state":"timeout"' in row.payload for row in events)


def test_the_start_is_notified_once_and_before_the_end(bench: Make) -> None:
    """However often the first stage is claimed; and never after the job has ended."""
    here = bench(THREE)
    job_id = here.submit(webhook_url="https://receiver.example/")
    step = here.broker.steps[0]
    for _ in range(2):
        with here.process.storage.database.transaction() as session:
            assert deliveries.insert_started(session, job_id) is False  # still queued
    here.deliver(step)
    with here.process.storage.database.transaction() as session:
        assert deliveries.insert_started(session, job_id) is False
    run_silently(here)
    with here.process.storage.database.transaction() as session:
        assert deliveries.insert_started(session, job_id) is False
    assert [row.type for row in rows(here)].count(EventType.STARTED) == 1


def test_each_receiver_gets_the_events_it_subscribed_to_with_its_own_sequence(bench: Make) -> None:
    """Filters leave no gaps in sequences; a disabled endpoint and another tenant's get nothing."""
    here = bench(THREE)
    with receive() as receiver:
        ends = add_endpoint(here, receiver, "/ends", ("attribution.completed",))
        off = add_endpoint(here, receiver, "/off")
        with here.process.storage.database.transaction() as session:
            endpoints.disable(session, off, "Not wanted.")
        here.submit(
            webhook_url=own_url(here, receiver), webhook_events=["attribution.started", "attribution.completed"]
        )
        run_silently(here)
    assert [(row.endpoint_id, row.sequence, row.type) for row in rows(here)] == [
        (None, 1, "attribution.started"),
        (None, 2, "attribution.completed"),
        (ends, 1, "attribution.completed"),
    ]


def test_sources_that_end_at_the_same_time_are_counted_one_by_one(bench: Make) -> None:
    """Workers of twelve sources finish together: the sequence has neither gaps nor doubles."""
    here = bench({f"s{n:02}": "" for n in range(12)}, platform="local")
    here.submit(webhook_url="https://receiver.example/", images_per_source=1)
    here.run(until=lambda step: step.task == RESYNTHESIZE_TASK)
    sources = [step for step in here.broker.steps if step.task == RESYNTHESIZE_TASK]
    here.broker.steps.clear()
    with ThreadPoolExecutor(len(sources)) as workers:
        list(workers.map(here.deliver, sources))
    run_silently(here)
    assert [row.sequence for row in rows(here)] == list(range(1, 15))


def test_a_job_without_receivers_costs_no_statement(bench: Make) -> None:
    """Without an address and without endpoints no statement on webhooks is run while the job is worked on."""
    here = bench(THREE)
    job_id = here.submit()
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(here.process.storage.database.engine, "before_cursor_execute", note)
    here.run()
    event.remove(here.process.storage.database.engine, "before_cursor_execute", note)
    assert here.job(job_id).status == JobStatus.SUCCEEDED
    assert statements
    assert not [statement for statement in statements if "webhook_deliver" in statement or "webhook_endp" in statement]
    assert not here.broker.steps


def test_senders_are_woken_after_the_commit_and_by_the_sweep(bench: Make, make_sender: MakeSender) -> None:
    """Every transaction with an event is followed by a message; the sweep finds what becomes due later."""
    here = bench(THREE)
    here.submit(webhook_url="https://receiver.example/")
    woken = 0
    while here.broker.steps:
        step = here.broker.steps.popleft()
        woken += step.task == NOTIFY_TASK
        if step.task != NOTIFY_TASK:
            here.deliver(step)
    assert woken >= 3  # the start, sources, the end
    here.sweep()
    assert [step.task for step in here.broker.steps].count(NOTIFY_TASK) == 1
    here.broker.steps.clear()
    with here.process.storage.database.transaction() as session:
        session.execute(
            update(WebhookDelivery)
            .values(next_attempt_at=Job.created_at + timedelta(hours=1))
            .where(Job.id == WebhookDelivery.job_id)
        )
    here.sweep()
    assert not here.broker.steps


class Moody:
    """Fails at random, in every way there is, but never more than five times for one message."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.failures: Counter[str] = Counter()
        self.moods: Counter[str] = Counter()

    def __call__(self, receiver: Receiver, message: Message, connection: socket.socket) -> Answer | None:
        """A status, or none."""
        moods = ("fine", "error", "hang", "reset", "redirect", "busy")
        mood = self.random.choices(moods, weights=(60, 12, 4, 12, 11, 1))[0]
        if self.failures[message.id] >= 5:
            mood = "fine"
        self.moods[mood] += 1
        if mood == "fine":
            return 200, {}
        self.failures[message.id] += 1
        if mood == "hang":
            receiver.leaving.wait(2)
            return None
        if mood == "reset":
            reset(connection)
            return None
        return {
            "error": (500, {}),
            "redirect": (302, {"location": "/elsewhere"}),
            "busy": (429, {"retry-after": "7200"}),
        }[mood]


def test_a_thousand_deliveries_to_a_receiver_that_fails_at_random(
    bench: Make, make_sender: MakeSender, clock: Clock
) -> None:
    """Each event arrives at least once, under one id, in sequences without gaps, with signatures that verify."""
    here = bench({f"s{n:02}": "" for n in range(48)})
    moody = Moody(20)
    with receive(moody) as receiver:
        add_endpoint(here, receiver)
        accepted = [
            here.submit((n, 10, 10), images_per_source=1, webhook_url=own_url(here, receiver, f"/own/{n}"))
            for n in range(10)
        ]
        run_silently(here)
        assert states(here) == {"pending": 1_000}
        sender = make_sender(here, concurrency=32, per_host=32, timeout=0.5 * SECOND)
        for _ in range(200):
            settle(sender)
            if states(here) == {"delivered": 1_000}:
                break
            clock.forward(timedelta(hours=6))
    assert states(here) == {"delivered": 1_000}
    assert not receiver.unverified
    assert set(moody.moods) == {"fine", "error", "hang", "reset", "redirect", "busy"}
    sequences: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    ids: defaultdict[tuple[str, str, int], set[str]] = defaultdict(set)
    for message in receiver.seen:
        ids[message.path, message.data["id"], message.data["sequence"]].add(message.id)
    for message in receiver.taken:
        sequences[message.path, message.data["id"]].add(message.data["sequence"])
    assert len(sequences) == 2 * len(accepted)
    assert all(numbers == set(range(1, 51)) for numbers in sequences.values())
    assert all(len(found) == 1 for found in ids.values())
    assert {message.id for message in receiver.seen} == {f"msg_{row.id}" for row in rows(here)}
    tries = Counter(message.id for message in receiver.seen)
    assert all(row.attempts >= tries[f"msg_{row.id}"] for row in rows(here))


def test_three_days_of_failure_in_seconds(bench: Make, make_sender: MakeSender, clock: Clock) -> None:
    """Ten attempts, none before its scheduled time; then the delivery has failed."""
    here = bench(THREE)

    def fail(*_: object) -> Answer:
        return 500, {}

    with receive(fail) as receiver:
        ping(here, add_endpoint(here, receiver))
        sender = make_sender(here)
        for attempt in range(1, len(SCHEDULE) + 1):
            settle(sender)
            (row,) = rows(here)
            assert len(receiver.seen) == row.attempts == attempt
            if row.state != DeliveryState.PENDING:
                break
            clock.forward(row.next_attempt_at - clock() - SECOND)
            settle(sender)
            assert len(receiver.seen) == attempt
            clock.forward(2 * SECOND)
        assert (row.state, attempt) == (DeliveryState.FAILED, len(SCHEDULE))
        clock.forward(timedelta(days=30))
        settle(sender)
        assert len(receiver.seen) == len(SCHEDULE)
    with here.process.storage.database.transaction() as session:
        attempts = session.scalars(select(WebhookAttempt).order_by(WebhookAttempt.number)).all()
    assert [each.number for each in attempts] == list(range(1, 11))
    assert {each.status for each in attempts} == {500}
    for before, after, delay in zip(attempts, attempts[1:], SCHEDULE[1:], strict=False):
        gap = after.started_at - before.started_at
        assert delay * (1 - JITTER) <= gap <= delay * (1 + JITTER) + 5 * SECOND
    assert len({message.id for message in receiver.seen}) == 1


def test_a_stuck_delivery_does_not_hold_back_the_next(bench: Make, make_sender: MakeSender) -> None:
    """A host that hangs blocks only as many threads as one host may have; others get their events meanwhile."""
    here = bench(THREE)

    def hang(receiver: Receiver, *_: object) -> None:
        receiver.leaving.wait(20)

    with receive(hang) as stuck, receive() as fine:
        ping(here, add_endpoint(here, stuck), times=20)
        ping(here, add_endpoint(here, fine), times=20)
        sender = make_sender(here, concurrency=8, per_host=2, timeout=3 * SECOND)
        began = time.monotonic()
        sender.send_due()
        fine.wait_for_taken(20, seconds=10)
        assert time.monotonic() - began < 10
        assert stuck.at_once["/endpoint"] == 2
        assert fine.at_once["/endpoint"] <= 2
        with here.process.storage.database.transaction() as session:  # the rest need not be waited for
            session.execute(text("UPDATE webhook_deliveries SET state = 'failed' WHERE state = 'pending'"))


KILLED = """
import signal
from app.settings import load_settings
from app.db.database import Database, connect
from workers.notify import WebhookSender
settings = load_settings()
WebhookSender(Database(connect(settings.database)), settings).send_due()
signal.pause()
"""


def test_a_worker_killed_between_sending_and_recording(bench: Make, make_sender: MakeSender, clock: Clock) -> None:
    """The event arrived and this was not recorded: after the lease it is sent again, with the same id."""
    here = bench(THREE)
    killed: list[subprocess.Popen[bytes]] = []

    def kill(receiver: Receiver, message: Message, connection: socket.socket) -> Answer | None:
        if len(receiver.seen) == 1:
            killed[0].send_signal(signal.SIGKILL)
            killed[0].wait()
        return 200, {}

    with receive(kill) as receiver:
        ping(here, add_endpoint(here, receiver))
        settings = here.process.settings
        environment = os.environ | {
            "DATABASE__URL": settings.database.url.get_secret_value(),
            "REDIS__URL": settings.redis.url.get_secret_value(),
            "WEBHOOKS__ALLOW_HTTP": "true",
            "EGRESS__ALLOW": '["127.0.0.1"]',
        }
        killed.append(subprocess.Popen([sys.executable, "-c", KILLED], env=environment))
        killed[0].wait(60)
        sender = make_sender(here)
        settle(sender)
        assert len(receiver.seen) == 1  # the lease of the dead
        assert states(here) == {"pending": 1}
        clock.forward(timedelta(minutes=1))
        settle(sender)
    assert [message.id for message in receiver.seen] == [f"msg_{rows(here)[0].id}"] * 2
    assert states(here) == {"delivered": 1}


def test_two_processes_claim_different_deliveries(bench: Make, clock: Clock) -> None:
    """The second neither waits for the first nor gets what that has looked at."""
    here = bench(THREE)
    with receive() as receiver:
        ping(here, add_endpoint(here, receiver), times=60)
    room = Room(attempts=20, per_host=10, under_way={}, paused=())
    with here.process.storage.database.transaction() as one, here.process.storage.database.transaction() as other:
        first = deliveries.claim_due(one, clock(), 30 * SECOND, room)
        second = deliveries.claim_due(other, clock(), 30 * SECOND, room)
    assert len({each.id for each in (*first, *second)}) == 20
    with here.process.storage.database.transaction() as session:
        third = deliveries.claim_due(session, clock(), 30 * SECOND, room)
    assert not {each.id for each in third} & {each.id for each in (*first, *second)}


def test_what_comes_back_late_changes_nothing(bench: Make, make_sender: MakeSender, clock: Clock) -> None:
    """An attempt whose lease is over is fenced off: the next one records the outcome."""
    here = bench(THREE)
    with receive() as receiver:
        ping(here, add_endpoint(here, receiver))
        with here.process.storage.database.transaction() as session:
            (late,) = deliveries.claim_due(session, clock(), 30 * SECOND, Room(1, 1, under_way={}, paused=()))
        clock.forward(31 * SECOND)
        settle(make_sender(here))
        attempt = deliveries.Attempt(clock(), 1.0, 500, None, None)
        with here.process.storage.database.transaction() as session:
            again = Decision(DeliveryState.PENDING, clock())
            assert not deliveries.record_attempt(session, late, attempt, again).recorded
    assert states(here) == {"delivered": 1}


def add_tenant(here: Bench, name: str) -> uuid.UUID:
    """Another tenant."""
    with here.process.storage.database.transaction() as session:
        row = Tenant(name=name)
        session.add(row)
        session.flush()
        return row.id


def test_a_tenant_whose_receivers_hang_leaves_senders_for_others(
    bench: Make, make_sender: MakeSender, clock: Clock
) -> None:
    """Five receivers that never answer, with thousands of older deliveries: another tenant's arrives meanwhile."""
    here, go_on = bench(THREE), threading.Event()
    hostile = add_tenant(here, "hostile")

    def hang(receiver: Receiver, message: Message, connection: socket.socket) -> Answer | None:
        go_on.wait(60)
        return accept(receiver, message, connection)

    with ExitStack() as receivers, receive() as honest:
        for _ in range(5):
            hanging = receivers.enter_context(receive(hang))
            ping(here, add_endpoint(here, hanging, "/hang", tenant_id=hostile), times=600)
        ping(here, add_endpoint(here, honest), times=20)
        sender = make_sender(here, concurrency=16, per_host=8)
        sender.send_due()
        try:
            honest.wait_for_taken(20, 30)
            assert sender._running.total() <= 9  # half of the senders wait, and one may be recording
        finally:
            with sender._claiming:
                sender._closed = True  # thousands are left
            go_on.set()
        sender.close()


def test_tenants_take_turns(bench: Make, clock: Clock) -> None:
    """Of 39 places a tenant with many older deliveries gets a third, like the next one; a third stays free."""
    here = bench(THREE)
    with receive() as receiver:
        for name in ("one", "other"):
            endpoint_id = add_endpoint(here, receiver, f"/{name}", tenant_id=add_tenant(here, name))
            ping(here, endpoint_id, times=100)
    room = Room(attempts=39, per_host=39, under_way={}, paused=())
    with here.process.storage.database.transaction() as session:
        claimed = deliveries.claim_due(session, clock(), 30 * SECOND, room)
    assert sorted(Counter(claim.target.tenant_id for claim in claimed).values()) == [13, 13]


def test_an_endpoint_that_fails_for_days_is_disabled_with_an_event(
    bench: Make, make_sender: MakeSender, clock: Clock
) -> None:
    """After five days without a success; its deliveries are dropped, the tenant's other endpoints get the reason."""
    here = bench(THREE)

    def fail(receiver: Receiver, message: Message, connection: socket.socket) -> Answer | None:
        return (500, {}) if message.path == "/broken" else accept(receiver, message, connection)

    with receive(fail) as receiver:
        broken = add_endpoint(here, receiver, "/broken")
        add_endpoint(here, receiver, "/other", ("attribution.completed",))
        strange = add_endpoint(here, receiver, "/strange", tenant_id=add_tenant(here, "another"))
        sender = make_sender(here)
        for _ in range(5):
            ping(here, broken)
            settle(sender)
            with here.process.storage.database.transaction() as session:
                assert session.get_one(WebhookEndpoint, broken).disabled_at is None
            clock.forward(timedelta(days=1))
        settle(sender)
        with here.process.storage.database.transaction() as session:
            endpoint = session.get_one(WebhookEndpoint, broken)
            assert endpoint.disabled_at is not None
            assert "5 days" in str(endpoint.disabled_reason)
            assert session.get_one(WebhookEndpoint, strange).disabled_at is None
            noted = session.scalars(select(AuditEntry).where(AuditEntry.subject == str(broken))).one()
        assert (noted.action, noted.actor) == ("webhook.disabled", "webhooks")
        settle(sender)
        (message,) = receiver.taken
        assert (message.path, message.body["type"]) == ("/other", "webhook.disabled")
        assert (message.data["endpoint"], message.data["reason"]) == (str(broken), endpoint.disabled_reason)
        assert states(here)["pending"] == 0


def test_a_success_ends_the_count_of_failures(bench: Make, make_sender: MakeSender, clock: Clock) -> None:
    """An endpoint that fails on every other day is not disabled; one that is enabled again begins anew."""
    here, answers = bench(THREE), iter([500, 204] * 20)

    def alternate(receiver: Receiver, message: Message, connection: socket.socket) -> Answer | None:
        status = next(answers)
        return accept(receiver, message, connection) if status == 204 else (status, {})

    with receive(alternate) as receiver:
        endpoint_id = add_endpoint(here, receiver)
        sender = make_sender(here)
        for _ in range(10):
            ping(here, endpoint_id)
            settle(sender)
            clock.forward(timedelta(days=1))
    with here.process.storage.database.transaction() as session:
        endpoint = session.get_one(WebhookEndpoint, endpoint_id)
        assert endpoint.disabled_at is None
        endpoint.failing_since = clock()
        endpoints.enable(endpoint)
        assert endpoint.failing_since is None


def test_gone_switches_an_endpoint_off(bench: Make, make_sender: MakeSender) -> None:
    """410: nothing more is sent, pending deliveries are dropped, and later jobs have none for it."""
    here = bench(THREE)

    def gone(*_: object) -> Answer:
        return 410, {}

    with receive(gone) as receiver:
        endpoint_id = add_endpoint(here, receiver)
        ping(here, endpoint_id, times=30)
        settle(make_sender(here, per_host=1))
        assert len(receiver.seen) == 1
    assert states(here) == {"dropped": 30}
    with here.process.storage.database.transaction() as session:
        endpoint = session.get_one(WebhookEndpoint, endpoint_id)
        assert endpoint.disabled_at is not None
        assert "410" in str(endpoint.disabled_reason)
    assert here.job(here.submit()).notify is False


def test_gone_ends_a_delivery_to_a_jobs_own_address(bench: Make, make_sender: MakeSender) -> None:
    """There is no endpoint to switch off."""
    here = bench(THREE)

    def gone(*_: object) -> Answer:
        return 410, {}

    with receive(gone) as receiver:
        here.submit(webhook_url=own_url(here, receiver), webhook_events=["attribution.completed"])
        run_silently(here)
        settle(make_sender(here))
        assert len(receiver.seen) == 1
    assert states(here) == {"dropped": 1}


def test_retry_after_pauses_a_receiver(bench: Make, make_sender: MakeSender, clock: Clock) -> None:
    """429 with Retry-After: nothing is sent there before; other receivers get their events meanwhile."""
    here = bench(THREE)

    def busy(receiver: Receiver, message: Message, connection: socket.socket) -> Answer | None:
        if message.path == "/busy" and len(receiver.seen) == 1:
            return 429, {"retry-after": "600"}
        return accept(receiver, message, connection)

    with receive(busy) as receiver:
        ping(here, add_endpoint(here, receiver, "/busy"), times=5)
        sender = make_sender(here, per_host=1)
        settle(sender)
        ping(here, add_endpoint(here, receiver, "/idle"))
        settle(sender)
        clock.forward(timedelta(seconds=590))
        settle(sender)
        assert [message.path for message in receiver.seen] == ["/busy", "/idle"]
        clock.forward(timedelta(seconds=20))
        settle(sender)
    assert states(here) == {"delivered": 6}


def test_an_answer_is_kept_as_text_whatever_it_is(bench: Make, make_sender: MakeSender) -> None:
    """Bytes that are no text, zero bytes among them, do not keep the attempt from being recorded."""
    here = bench(THREE)

    def babble(receiver: Receiver, message: Message, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 500 No\r\ncontent-length: 5\r\n\r\n\xff\x00ab\xc3")

    with receive(babble) as receiver:
        ping(here, add_endpoint(here, receiver))
        settle(make_sender(here))
    with here.process.storage.database.transaction() as session:
        attempt = session.scalars(select(WebhookAttempt)).one()
    assert (attempt.status, attempt.response) == (500, "\ufffd\ufffdab\ufffd")


def test_an_address_that_is_not_public_is_not_called(bench: Make, clock: Clock) -> None:
    """The guard stands between rows and the network, whatever was accepted before."""
    here = bench(THREE)
    with receive() as receiver:
        ping(here, add_endpoint(here, receiver))
        sender = WebhookSender(here.process.storage.database, here.process.settings, clock)
        settle(sender)
        sender.close()
        assert not receiver.seen
    assert states(here) == {"failed": 1}


def test_senders_that_were_dismissed_take_nothing(bench: Make, make_sender: MakeSender) -> None:
    """A process that is stopping leaves due deliveries to other processes."""
    here = bench(THREE)
    with receive() as receiver:
        ping(here, add_endpoint(here, receiver))
        sender = make_sender(here)
        sender.close()
        settle(sender)
        assert rows(here)[0].attempts == 0
        settle(make_sender(here))
    assert states(here) == {"delivered": 1}


def test_deleted_jobs_are_not_notified(bench: Make) -> None:
    """Payloads repeat a job's data, so they are deleted with it."""
    here = bench(THREE)
    job_id = here.submit(webhook_url="https://receiver.example/")
    other = here.submit(webhook_url="https://receiver.example/")
    run_silently(here)
    with here.process.storage.database.transaction() as session:
        retention_repository.clear_personal_data(session, Clearing.DELETION, [job_id])
    assert {row.job_id for row in rows(here)} == {other}


def test_the_target_of_a_redirect_is_recorded(bench: Make, make_sender: MakeSender) -> None:
    """It is not followed; the attempt says where the receiver sent it, so that its address can be corrected."""
    here = bench(THREE)
    with receive(lambda receiver, message, connection: (308, {"location": "/hooks/new"})) as receiver:
        ping(here, add_endpoint(here, receiver))
        settle(make_sender(here))
    with here.process.storage.database.transaction() as session:
        attempt = session.scalars(select(WebhookAttempt)).one()
    assert attempt.status == 308
    assert attempt.error == "The receiver redirects to /hooks/new. Redirects are not followed: register that address."


def test_a_receiver_that_leaves_the_body_open_has_answered(bench: Make, make_sender: MakeSender) -> None:
    """Its status is what matters: the delivery is done, and is not repeated."""
    here = bench(THREE)

    def open_ended(receiver: Receiver, message: Message, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nthanks")
        receiver.leaving.wait(5)

    with receive(open_ended) as receiver:
        ping(here, add_endpoint(here, receiver))
        settle(make_sender(here))
        assert states(here) == {"delivered": 1}
        with here.process.storage.database.transaction() as session:
            attempt = session.scalars(select(WebhookAttempt)).one()
        assert (attempt.status, attempt.error) == (200, None)
        assert len(receiver.seen) == 1
