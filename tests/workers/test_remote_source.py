"""Sources that vendors generate: one by one, within limits and budgets, never twice, and never lost while they wait."""

import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import text

from app.db.models import DEFAULT_TENANT, JobStatus
from app.db.types import ImageRecord
from app.errors import StorageUnavailable
from app.jobs import source_repository
from app.jobs.deletion import delete_expired_captions
from app.vendors.limits import Slot
from attribution.errors import OutputRefused, PromptRefused, RateLimited, SourceUnavailable
from attribution.ports import SourceState
from attribution.race import Budget
from attribution.resynthesis.remote.gate import Reservation
from tests.waiting import wait_until
from tests.workers.harness import Bench
from tests.workers.test_recovery import ATTEMPTS, LEASE
from tests.workers.test_story import is_resynthesis
from tests.workers.vendor import nothing, serve, spent
from workers.vendors import safety_identifier

Make = Callable[..., Bench]
PRICE = "price_usd = 0.04\nexternal = true\n"


class Killed(BaseException):
    """The worker ends here: nothing that comes after is done."""


@pytest.fixture
def make(bench: Make) -> Iterator[Make]:
    """Makes a worker process over vendors; `make(limits="concurrency = 1")`. Its sources have names of their own."""
    made: list[Bench] = []

    def build(*names: str, limits: str = "", **groups: object) -> Bench:
        here = bench(dict.fromkeys(names, ""), header=PRICE, limits=limits, **groups)
        made.append(here)
        return here

    yield build
    for here in made:
        for source in here.process.models.catalog.sources:
            for key in here.process.storage.redis.scan_iter(f"*:{source.id}*"):
                here.process.storage.redis.delete(key)


def name() -> str:
    """A source of one test: what is counted of it in Redis is its own."""
    return f"v-{uuid.uuid4().hex[:12]}"


def run_until_ended(here: Bench, *jobs: uuid.UUID) -> None:
    """Delivers messages, and lets waiting sources be resumed, until all jobs have ended."""

    def ended() -> bool:
        here.run()
        return all(here.job(job_id).status == JobStatus.SUCCEEDED for job_id in jobs)

    wait_until(ended)


def test_every_generated_image_is_ordered_once_and_paid(make: Make) -> None:
    """Four images are four calls, several at once; the job reports what was sent to third parties and its price."""
    source = name()
    here = make(source)
    together = Barrier(2)

    def meet(k: int, reservation: Reservation) -> None:
        together.wait(30)

    vendor = serve(here, (source, meet))[source]
    job_id = here.submit(images_per_source=4)
    here.run()
    document = here.document(job_id)
    assert vendor.orders == {0: 1, 1: 1, 2: 1, 3: 1}
    assert vendor.max_running > 1
    assert vendor.identifiers == {safety_identifier(here.process.settings.remote, DEFAULT_TENANT)}
    (row,) = document.sources
    assert row.state is SourceState.DONE
    assert len(row.seeds) == 4
    assert row.generated_images == [f"/attribute/{job_id}/images/{source}/{k}" for k in range(4)]
    (call,) = document.spend.calls
    assert (call.source, call.sent, call.external, call.calls, call.images) == (source, "prompt", True, 4, 4)
    assert document.spend.usd == call.usd == pytest.approx(0.16)
    assert document.result is not None
    assert len(document.result.ranking[0].distances) == 4


def test_the_same_generated_images_as_all_at_once(make: Make) -> None:
    """The seed of the k-th image is the same, whether images are generated one by one or all at once."""
    source, fake = name(), name()
    here = make(source, fake)
    serve(here, (source, nothing))
    job_id = here.submit(images_per_source=3)
    here.run()
    rows = here.sources(job_id)
    assert all(len({image.seed for image in row.generated_images}) == 3 for row in rows.values())
    assert [each.k for each in rows[source].generated_images] == [0, 1, 2]


def test_each_round_of_a_race_is_ordered_once_and_paid(make: Make) -> None:
    """The first round is one call, the second the other three; a budget that covers two images ends it with those."""
    source, other = name(), name()
    here = make(source, other, limits="concurrency = 1")
    vendor = serve(here, (source, nothing), (other, nothing))[source]
    options: dict[str, Any] = {"images_per_source": 4, "method_options": {"budget": Budget.RACING}}
    first = here.submit(**options)
    here.run(until=lambda step: here.job(first).race is not None and len(here.job(first).race.rounds) == 2)
    assert vendor.orders == {0: 1}
    assert spent(here.job(first)) == pytest.approx(0.08)
    run_until_ended(here, first)
    assert vendor.orders == {0: 1, 1: 1, 2: 1, 3: 1}
    assert spent(here.job(first)) == pytest.approx(0.32)
    poor = here.submit((9, 90, 200), budget_usd=Decimal("0.12"), cache=False, **options)
    run_until_ended(here, poor)
    rows = here.sources(poor)
    assert sorted(len(row.generated_images) for row in rows.values()) == [1, 2]
    assert spent(here.job(poor)) == pytest.approx(0.12)
    assert all("budget" in (row.reason or "") for row in rows.values())


def test_jobs_wait_for_the_limit_and_none_is_lost(make: Make) -> None:
    """One call at a time, for all jobs and images; a source that waits is a row, and its attempt does not count."""
    source = name()
    here = make(source, limits="concurrency = 1")
    vendor = serve(here, (source, lambda k, reservation: time.sleep(0.01)))[source]
    jobs = [here.submit((20 * k, 30, 40), images_per_source=2, cache=False) for k in range(6)]
    run_until_ended(here, *jobs)
    assert vendor.max_running == 1
    assert vendor.orders == {0: 6, 1: 6}
    assert all(here.sources(job_id)[source].attempt == 1 for job_id in jobs)


def test_a_waiting_source_has_no_thread(make: Make) -> None:
    """Without room the task returns at once; the row has its next attempt's time, and is claimed when there is room."""
    source = name()
    here = make(source, limits="concurrency = 1")
    vendor = serve(here, (source, nothing))[source]
    entry = here.process.models.catalog.get(source)
    taken = here.process.vendors.limits.acquire(source, entry.limits, 60)
    assert isinstance(taken, Slot)
    job_id = here.submit(images_per_source=1)
    here.run()
    row = here.sources(job_id)[source]
    assert (row.state, row.attempt) == (SourceState.PENDING, 0)
    assert row.next_attempt_at is not None
    assert not vendor.orders
    wait_until(lambda: bool(here.process.storage.redis.exists(f"limit:{source}:waiting")))
    assert here.process.vendors.limits.release(taken)  # True: a job waits, and is resumed soon
    run_until_ended(here, job_id)
    assert vendor.orders == {0: 1}


def test_the_sweep_finds_waiting_sources(make: Make) -> None:
    """When the process that would resume a source has died, the sweep's message does it; not before its time."""
    source = name()
    here = make(source, limits="concurrency = 1")
    serve(here, (source, nothing))
    job_id = here.submit(images_per_source=1)
    here.run(until=is_resynthesis)
    here.broker.steps.clear()
    with here.process.storage.database.transaction() as session:
        (claim,) = source_repository.claim_in_queue(session, job_id, "remote", LEASE, ATTEMPTS)
        assert source_repository.delay_claim(session, claim.row, timedelta(seconds=10))
        assert not source_repository.delay_claim(session, claim.row, timedelta(seconds=10))
        assert not source_repository.claim_in_queue(session, job_id, "remote", LEASE, ATTEMPTS)
        assert not source_repository.claim_next_delayed(session, source, LEASE, ATTEMPTS)
    here.sweep()
    assert not here.broker.steps
    here.pass_time(13)
    here.sweep()
    assert [(step.task, step.arguments) for step in here.broker.steps] == [("workers.resume", (source,))]
    here.run()
    assert here.job(job_id).status == JobStatus.SUCCEEDED


def test_a_rate_limit_error_pauses_the_source(make: Make) -> None:
    """A 429 pauses the source for all jobs; the source waits for that long and is then generated."""
    source = name()
    here = make(source)

    def busy_once(k: int, reservation: Reservation) -> None:
        if vendor.orders.total() == 1:
            raise RateLimited("Too many requests.", 0.2)

    vendor = serve(here, (source, busy_once))[source]
    job_id = here.submit(images_per_source=1)
    here.run()
    row = here.sources(job_id)[source]
    assert (row.state, row.attempt) == (SourceState.PENDING, 0)
    run_until_ended(here, job_id)
    assert vendor.orders == {0: 2}
    assert spent(here.job(job_id)) == pytest.approx(0.04)


def test_a_wait_beyond_the_deadline_ends_the_source(make: Make) -> None:
    """It ends at once as `rate_limited` with a sentence; the other sources are ranked."""
    source, other = name(), name()
    here = make(source, other)

    def busy(k: int, reservation: Reservation) -> None:
        raise RateLimited("The vendor wants to be left alone.", 3_600)

    serve(here, (source, busy))
    job_id = here.submit(images_per_source=1)
    here.run()
    row = here.sources(job_id)[source]
    assert row.state == SourceState.RATE_LIMITED
    assert row.reason == "The vendor wants to be left alone. The job's deadline comes before there is room."
    assert here.job(job_id).status == JobStatus.SUCCEEDED


def test_a_source_that_waited_until_the_deadline_is_rate_limited(make: Make) -> None:
    """A row that still waits for room is `rate_limited`, not `timeout`; with some of its images it is done."""
    source, half = name(), name()
    here = make(source, half)
    serve(here, (source, nothing), (half, nothing))
    job_id = here.submit(images_per_source=2)
    here.run(until=is_resynthesis)
    here.broker.steps.clear()
    with here.process.storage.database.transaction() as session:
        for claim in source_repository.claim_in_queue(session, job_id, "remote", LEASE, ATTEMPTS):
            if claim.row.source == half:
                blob = here.job(job_id).query_blob or ""
                assert source_repository.save_generated_images(session, claim.row, [ImageRecord(1, 7, blob)])
            assert source_repository.delay_claim(session, claim.row, timedelta(0))
    here.pass_time(301)
    here.sweep()
    here.run()
    rows = here.sources(job_id)
    assert rows[source].state == SourceState.RATE_LIMITED
    assert rows[half].state == SourceState.DONE
    assert rows[half].reason is not None
    assert rows[half].reason.startswith("1 generated images were made before that.")
    generated_images = {row.source: row.generated_images for row in here.document(job_id).sources}
    assert generated_images == {source: [], half: [f"/attribute/{job_id}/images/{half}/1"]}


def test_what_was_generated_is_not_ordered_again(make: Make) -> None:
    """A worker dies after two of three images: the next attempt orders the third, and polls what was ordered."""
    source = name()
    here = make(source, limits="concurrency = 1")

    def die(k: int, reservation: Reservation) -> None:
        if vendor.orders.total() == 3 and not vendor.resumed:
            raise Killed

    vendor = serve(here, (source, die))[source]
    job_id = here.submit(images_per_source=3)
    with pytest.raises(Killed):
        here.run()
    row = here.sources(job_id)[source]
    assert (row.state, len(row.generated_images)) == (SourceState.RUNNING, 2)
    assert spent(here.job(job_id)) == pytest.approx(0.12)
    here.pass_time(15)
    here.sweep()
    run_until_ended(here, job_id)
    assert vendor.orders == {0: 1, 1: 1, 2: 1}
    assert len(vendor.resumed) == 1
    assert vendor.billed == 3
    document = here.document(job_id)
    assert document.spend.usd == pytest.approx(0.12)
    assert document.spend.calls[0].unsettled == 0


def test_an_order_without_a_handle_stays_counted(make: Make) -> None:
    """Its outcome is unknown: it is ordered again, and both calls are counted."""
    source = name()
    here = make(source)

    def die(k: int, reservation: Reservation) -> None:
        if vendor.orders.total() == 1:
            with here.process.storage.database.transaction() as session:
                session.execute(text("UPDATE source_calls SET vendor_task = NULL"))  # as if it had died before that
            raise Killed

    vendor = serve(here, (source, die))[source]
    job_id = here.submit(images_per_source=1)
    with pytest.raises(Killed):
        here.run()
    here.pass_time(15)
    here.sweep()
    run_until_ended(here, job_id)
    document = here.document(job_id)
    assert document.spend.usd == pytest.approx(0.08)
    assert [(each.calls, each.unsettled) for each in document.spend.calls] == [(2, 1)]


def test_the_budget_is_never_passed(make: Make) -> None:
    """What the budget covers is generated; a source that it does not cover has a sentence about the budget."""
    dear, cheap = name(), name()
    here = make(dear, cheap)
    vendors = serve(here, (dear, nothing), (cheap, nothing))
    job_id = here.submit(images_per_source=4, budget_usd=Decimal("0.25"))
    here.run()
    assert vendors[dear].billed + vendors[cheap].billed == 6
    document = here.document(job_id)
    assert document.spend.usd == pytest.approx(0.24)
    assert document.spend.budget_usd == 0.25
    reasons = [row.reason for row in document.sources if row.reason]
    assert reasons
    assert all("This job's budget of 0.25 US dollars has 0.0100 left" in reason for reason in reasons)


def test_a_job_without_budget_calls_no_source_with_a_price(make: Make) -> None:
    """With a budget of nothing every paid source is `quota`, and nothing is ordered."""
    source = name()
    here = make(source)
    vendor = serve(here, (source, nothing))[source]
    job_id = here.submit(images_per_source=1, budget_usd=Decimal(0))
    here.run()
    row = here.sources(job_id)[source]
    assert row.state == SourceState.QUOTA
    assert row.reason is not None
    assert "`budget_usd`" in row.reason
    assert not vendor.orders


def test_a_refusal_is_not_repeated_and_costs_nothing(make: Make) -> None:
    """A refused caption is not sent again for further images; a withheld image is one less."""
    prude, shy = name(), name()
    here = make(prude, shy, limits="concurrency = 1")

    def refuse(k: int, reservation: Reservation) -> None:
        raise PromptRefused("Not this.")

    def withhold(k: int, reservation: Reservation) -> None:
        if k == 1:
            raise OutputRefused("Not that one.")

    vendors = serve(here, (prude, refuse), (shy, withhold))
    job_id = here.submit(images_per_source=3)
    run_until_ended(here, job_id)
    rows = here.sources(job_id)
    assert (rows[prude].state, rows[prude].reason) == (SourceState.REFUSED_PROMPT, "Not this.")
    assert vendors[prude].orders == {0: 1}
    assert (rows[shy].state, rows[shy].reason) == (SourceState.DONE, "2 of 3 generated images: Not that one.")
    assert [each.k for each in rows[shy].generated_images] == [0, 2]
    assert here.document(job_id).spend.usd == pytest.approx(0.08)


def test_a_vendor_that_fails_repeatedly_is_not_called(make: Make) -> None:
    """After a few failures its circuit opens: later jobs do not call it, and report that."""
    source = name()
    here = make(source, remote={"circuit_failures": 2})

    def fail(k: int, reservation: Reservation) -> None:
        raise SourceUnavailable("The vendor answered 500.")

    vendor = serve(here, (source, fail))[source]
    for _ in range(2):
        here.submit(images_per_source=1)
        here.run()
    job_id = here.submit(images_per_source=4)
    here.run()
    assert vendor.orders.total() == 2
    row = here.sources(job_id)[source]
    assert row.state == SourceState.UNAVAILABLE
    assert row.reason is not None
    assert "failed too often lately" in row.reason
    assert here.document(job_id).spend.calls == []


def test_an_unavailable_store_is_not_the_sources_failure(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The generated image that could not be kept is paid, and the source is tried again instead of failing."""
    source = name()
    here = make(source)
    vendor = serve(here, (source, nothing))[source]
    job_id = here.submit(images_per_source=1)
    here.run(until=is_resynthesis)
    broken = [True]
    put = type(here.process.storage.blobs).put

    def fail_once(*arguments: Any) -> Any:
        if broken and broken.pop():
            raise StorageUnavailable("The store is unavailable.")
        return put(*arguments)

    monkeypatch.setattr(type(here.process.storage.blobs), "put", fail_once)
    here.run()
    row = here.sources(job_id)[source]
    assert (row.state, row.attempt) == (SourceState.PENDING, 1)
    here.pass_time(60)
    here.sweep()
    run_until_ended(here, job_id)
    assert vendor.orders == {0: 2}
    assert here.document(job_id).spend.usd == pytest.approx(0.08)


def test_a_local_only_job_calls_no_vendor(make: Make) -> None:
    """External sources are `skipped` with a sentence; with no source left the job still ends, at once."""
    source = name()
    here = make(source)
    vendor = serve(here, (source, nothing))[source]
    job_id = here.submit(images_per_source=1, local_only=True)
    here.run()
    document = here.document(job_id)
    assert document.status is JobStatus.SUCCEEDED
    assert document.local_only
    (row,) = document.sources
    assert row.state is SourceState.SKIPPED
    assert row.reason is not None
    assert "local only" in row.reason
    assert not vendor.orders


def test_a_vendors_rewritten_prompt_is_reported_and_deleted_with_the_caption(make: Make) -> None:
    """The text that was generated stands beside the generated image, until captions have been kept for long enough."""
    source = name()
    here = make(source)
    serve(here, (source, nothing))[source].rewrites = {1: "A red thing, in the style of a poster."}
    job_id = here.submit(images_per_source=2)
    here.run()
    (row,) = here.document(job_id).sources
    assert row.prompts == [None, "A red thing, in the style of a poster."]
    with here.process.storage.database.transaction() as session:
        session.execute(text("UPDATE jobs SET completed_at = completed_at - interval '1 year'"))
        assert delete_expired_captions(session, timedelta(days=1)) == [(DEFAULT_TENANT, job_id)]
    (row,) = here.document(job_id).sources
    assert row.prompts == []
    assert len(row.seeds) == 2
