"""Calls and what they cost, in a real Postgres: a budget is never passed, and an unknown outcome stays counted."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text

from app.db.database import Database, connect
from app.db.models import DEFAULT_TENANT, SourceSpend
from app.db.types import MethodOptions
from app.jobs import repository, service
from app.jobs.acceptance import NewJob, accept
from app.settings import Settings
from app.vendors import budget
from app.vendors.budget import BudgetRefusal, CallOrder
from attribution.ports import Aggregate, DistanceName, SourceState
from tests.conftest import clear

CENT = Decimal("0.01")


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """The door to Postgres, and empty tables afterwards."""
    database = Database(connect(settings.database))
    yield database
    clear(database)
    database.close()


def generated_image(database: Database, budget: Decimal | None) -> uuid.UUID:
    """A job that is being generated and may spend so much."""
    new = NewJob(
        DEFAULT_TENANT,
        None,
        4,
        [],
        timedelta(minutes=5),
        MethodOptions(DistanceName.COSINE, Aggregate.MEAN),
        prompt="a hare",
        budget_usd=budget,
        max_budget_usd=budget,
    )
    with database.transaction() as session:
        job_id = accept(session, new).job.id
        session.execute(text("UPDATE jobs SET status = 'processing', stage = 'resynthesizing'"))
    return job_id


def order(job_id: uuid.UUID, source: str = "ant", k: int = 0, usd: Decimal = 10 * CENT) -> CallOrder:
    """Ten cents for an image."""
    return CallOrder(uuid.uuid4(), job_id, source, k, 1, True, usd)


def spent(database: Database, job_id: uuid.UUID) -> tuple[Decimal, list[SourceSpend]]:
    """The job's sum, and its calls by source."""
    with database.transaction() as session:
        job = repository.get_by_id(session, DEFAULT_TENANT, job_id)
        assert job is not None
        return job.spent_usd, list(budget.sum_by_source(session, job))


def test_many_threads_never_pass_the_budget(database: Database):
    """Of forty calls that want to be made at once, a budget for seven and a half lets seven through."""
    job_id = generated_image(database, 75 * CENT)

    def reserve(k: int) -> BudgetRefusal | None:
        with database.transaction() as session:
            return budget.reserve(session, order(job_id, f"s{k % 5}", k))

    with ThreadPoolExecutor(12) as pool:
        refused = list(pool.map(reserve, range(40)))
    assert refused.count(None) == 7
    assert {each.left for each in refused if each} == {5 * CENT}
    total, by_source = spent(database, job_id)
    assert total == 70 * CENT == sum(each.usd for each in by_source)
    assert sum(each.calls for each in by_source) == sum(each.unsettled for each in by_source) == 7


def test_what_was_settled_can_be_spent_again(database: Database):
    """A call that cost nothing gives its reservation back; settling it a second time changes nothing."""
    job_id = generated_image(database, 10 * CENT)
    first, second = order(job_id), order(job_id, k=1)
    with database.transaction() as session:
        assert budget.reserve(session, first) is None
        assert budget.reserve(session, second) == BudgetRefusal(Decimal(0), 10 * CENT)
        assert budget.settle(session, first.id, SourceState.REFUSED_PROMPT, Decimal(0))
        assert not budget.settle(session, first.id, SourceState.DONE, 10 * CENT)
        assert budget.reserve(session, second) is None
        assert budget.settle(session, second.id, SourceState.DONE, 10 * CENT)
    assert spent(database, job_id) == (10 * CENT, [SourceSpend("ant", "prompt", True, 2, 2, 10 * CENT, 0)])


def test_a_vendors_handle_outlives_a_worker(database: Database):
    """The next attempt finds the order by its task; orders of one generated image are numbered."""
    job_id = generated_image(database, None)
    first = order(job_id)
    with database.transaction() as session:
        assert budget.reserve(session, first) is None
        budget.set_vendor_task(session, first.id, "task-1")
        assert budget.reserve(session, order(job_id)) is None
        assert budget.reserve(session, order(job_id, k=1)) is None
    with database.transaction() as session:
        found = budget.list_for_source(session, job_id, "ant")
        assert [(each.k, each.number, each.vendor_task) for each in found] == [
            (0, 1, "task-1"),
            (0, 2, None),
            (1, 1, None),
        ]
        assert not budget.list_for_source(session, job_id, "bee")


def test_a_job_that_has_ended_orders_nothing(database: Database):
    """However much of its budget is left; but what was ordered before is settled."""
    job_id = generated_image(database, None)
    first = order(job_id)
    with database.transaction() as session:
        assert budget.reserve(session, first) is None
        service.cancel(session, DEFAULT_TENANT, job_id)
        assert budget.reserve(session, order(job_id)) == BudgetRefusal(None)
        assert budget.settle(session, first.id, SourceState.DONE, 4 * CENT)
    assert spent(database, job_id)[0] == 4 * CENT


def test_a_job_without_calls_asks_nothing(database: Database):
    """Most jobs of an installation that generates everything itself pay nothing for this."""
    job_id = generated_image(database, None)
    assert spent(database, job_id) == (Decimal(0), [])
