"""Turns of tenants, the choice of a source, and the order of queues: pure rules."""

import uuid
from collections import Counter

from workers.queue_order import QueueOrder
from workers.source_choice import SourceCosts, next_source
from workers.turns import Share, Turns

BUSY, SMALL, THIRD = (uuid.UUID(int=number) for number in (1, 2, 3))
MEMORY = {"a": 1000, "b": 1000, "c": 1000}


def test_a_tenant_with_one_job_does_not_wait_behind_a_thousand() -> None:
    """Batches of one job: the one that came last, of a tenant with nothing else, is in the second of them."""
    turns = Turns()
    waiting = {BUSY: Share(1000, 4000, 900.0), SMALL: Share(1, 4, 1.0)}
    assert turns.allot(waiting, 4) == {BUSY: 1}
    turns.advance(BUSY, 4)
    assert turns.allot(waiting, 4) == {SMALL: 1}


def test_a_batch_is_shared_evenly() -> None:
    """Three tenants with many jobs each have a third of a batch, as far as it divides."""
    waiting = {tenant: Share(100, 400, 60.0) for tenant in (BUSY, SMALL, THIRD)}
    assert sorted(Turns().allot(waiting, 32).values()) == [2, 3, 3]


def test_images_count_and_not_jobs() -> None:
    """A tenant that wants four times as many images of a source has a quarter of the jobs in a batch."""
    shares = Turns().allot({BUSY: Share(100, 1600, 60.0), SMALL: Share(100, 400, 60.0)}, 32)
    assert shares == {BUSY: 1, SMALL: 4}


def test_a_batch_takes_what_waits() -> None:
    """Fewer images than fit are no reason to wait, and a job with more images than fit is taken alone."""
    assert Turns().allot({BUSY: Share(1, 4, 1.0)}, 32) == {BUSY: 1}
    assert Turns().allot({BUSY: Share(5, 80, 1.0)}, 8) == {BUSY: 1}


def test_who_had_nothing_to_do_saved_no_turns() -> None:
    """A tenant that comes back after a pause alternates with the others; it does not get what it did not use."""
    turns = Turns()
    for _ in range(100):
        turns.advance(BUSY, 4)
    served = Counter[uuid.UUID]()
    for _ in range(20):
        (tenant,) = turns.allot({BUSY: Share(1000, 4000, 900.0), SMALL: Share(1000, 4000, 1.0)}, 4)
        turns.advance(tenant, 4)
        served[tenant] += 1
    assert served == {BUSY: 10, SMALL: 10}


def _choose(waiting: dict[str, float], loaded: set[str], since_load: float = 0.0, load: float = 30.0) -> str:
    costs = SourceCosts(load_seconds=dict.fromkeys(MEMORY, load), seconds_since_load=since_load)
    shares = {source: {BUSY: Share(1, 4, seconds)} for source, seconds in waiting.items()}
    return next_source(shares, Turns(), loaded, MEMORY, costs)


def test_the_oldest_job_is_next_among_loaded_sources() -> None:
    """Where all sources are loaded, jobs are done in the order in which they came."""
    assert _choose({"a": 1.0, "b": 5.0, "c": 3.0}, {"a", "b", "c"}) == "b"


def test_a_source_is_not_loaded_for_every_older_job() -> None:
    """A loaded source goes on until generating has taken as long as loading the other one will; then that is next."""
    assert _choose({"a": 1.0, "b": 5.0}, {"a"}, since_load=29.0) == "a"
    assert _choose({"a": 1.0, "b": 5.0}, {"a"}, since_load=31.0) == "b"


def test_nothing_waits_in_vain_for_a_source_that_is_not_loaded() -> None:
    """If no loaded source has anything to do, another one is loaded at once."""
    assert _choose({"b": 0.1}, {"a"}) == "b"


def test_a_loaded_source_whose_job_came_first_is_next() -> None:
    """A source that is not loaded does not overtake an older job of a loaded one, whenever the last load was."""
    assert _choose({"a": 9.0, "b": 5.0}, {"a"}, since_load=1000.0) == "a"


def test_the_costliest_source_of_a_job_is_generated_first() -> None:
    """Several processes then end a job's sources at about the same time."""
    costs = SourceCosts()
    costs.add_batch("a", 4, 1.0)
    costs.add_batch("b", 4, 2.0)
    waiting = {source: {BUSY: Share(1, 4, 7.0)} for source in ("a", "b")}
    assert next_source(waiting, Turns(), {"a", "b"}, MEMORY, costs) == "b"


def test_the_tenant_whose_turn_it_is_decides_about_the_source() -> None:
    """A source that only a small tenant asks for does not wait for all older jobs of others at other sources."""
    turns = Turns()
    waiting = {"a": {BUSY: Share(1000, 4000, 900.0)}, "b": {SMALL: Share(1, 4, 1.0)}}
    assert next_source(waiting, turns, {"a", "b"}, MEMORY, SourceCosts()) == "a"
    turns.advance(BUSY, 4)
    assert next_source(waiting, turns, {"a", "b"}, MEMORY, SourceCosts()) == "b"


def test_ending_comes_before_beginning_and_beginning_before_generating() -> None:
    """Messages that end jobs are taken first, and of the others those that fill batches."""
    order = QueueOrder(["local.a", "screen", "local.b", "embed", "caption"])
    assert order.consume(5) == ["embed", "screen", "caption", "local.a", "local.b"]


def test_generating_has_its_turn_however_many_jobs_arrive() -> None:
    """After two jobs that were begun a batch is next, and sources take turns."""
    order = QueueOrder(["local.a", "local.b", "screen"])
    taken = []
    for _ in range(9):
        taken.append(order.consume(3)[0])
        order.rotate(taken[-1])
    assert taken == ["screen", "screen", "local.a", "screen", "screen", "local.b", "screen", "screen", "local.a"]
