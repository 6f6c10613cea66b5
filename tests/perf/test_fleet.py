"""The simulation of a fleet: its rules in cases that can be worked out by hand, and queueing theory."""

import statistics
from itertools import pairwise

import pytest

from app.vendors import limits
from perf import fleet
from perf.fleet import LocalPool, SimulatedFleet, VendorLimits, simulate
from perf.simulate import ROWS, poisson, table
from tests.conftest import REPOSITORY


def test_one_job_takes_its_slowest_source_and_the_stages() -> None:
    """Sources with workers of their own are generated side by side, stages one after another."""
    one = SimulatedFleet(
        [LocalPool({"a": 2.0}, 1, load_seconds=5.0, usd_per_hour=3600.0), LocalPool({"b": 1.0}, 1)],
        {"v": VendorLimits(3.0, usd=0.5)},
        caption_seconds=1.0,
        embed_seconds=0.5,
        overhead_seconds=0.25,
    )
    found = simulate(one, [10.0], images=2)
    # 0.25 until captioning, 1 for it; a: 5 + 2 × 2; the vendor's calls at once; 1 + 3 × 2 images to embed.
    assert found.seconds == [pytest.approx(0.25 + 1.0 + 9.0 + 3.5)]
    assert found.usd == pytest.approx(13.75 + 2 * 0.5)
    assert found.use == [pytest.approx(9 / 13.75), pytest.approx(2 / 13.75)]
    assert (found.calls, found.short) == (2, 0.0)


def test_jobs_wait_for_a_worker() -> None:
    """Of three jobs at once on two workers the third waits for the first that ends."""
    found = simulate(SimulatedFleet([LocalPool({"a": 4.0}, 2)]), [0.0, 0.0, 0.0], images=1)
    assert found.seconds == [4.0, 4.0, 8.0]


def test_a_worker_finishes_several_jobs_of_a_source_before_it_loads_another() -> None:
    """With four jobs of two sources it loads each source once; taking turns it would load eight times."""
    sources = {"a": 1.0, "b": 1.0}
    drained = simulate(SimulatedFleet([LocalPool(sources, 1, load_seconds=10.0, drain=8)]), [0.0] * 4, images=1)
    in_turn = simulate(SimulatedFleet([LocalPool(sources, 1, load_seconds=10.0, drain=1)]), [0.0] * 4, images=1)
    assert max(drained.seconds) == 2 * 10 + 8 * 1
    assert max(in_turn.seconds) == 8 * 10 + 8 * 1


def test_a_batch_is_generated_together() -> None:
    """Jobs that wait are taken into one batch as far as it has room, and end together."""
    found = simulate(SimulatedFleet([LocalPool({"a": 1.0}, 1, batch=4)]), [0.0, 0.1, 0.1, 0.1], images=2)
    assert found.seconds == [pytest.approx(each) for each in (2.0, 5.9, 5.9, 7.9)]


def test_calls_keep_a_vendors_limits() -> None:
    """No minute has more calls than allowed and no ten seconds more than a sixth of them, and time is not wasted."""
    found = simulate(SimulatedFleet(vendors={"v": VendorLimits(1.0, per_minute=12)}), [0.0] * 30, images=1)
    starts = sorted(each - 1.0 for each in found.seconds)
    assert all(later - earlier >= 60 for earlier, later in zip(starts, starts[12:], strict=False))
    assert all(later - earlier >= 10 for earlier, later in zip(starts, starts[2:], strict=False))
    assert starts[-1] == pytest.approx(14 * fleet._TENTH, abs=2)
    at_once = simulate(SimulatedFleet(vendors={"v": VendorLimits(1.0, concurrency=3)}), [0.0] * 7, images=1)
    assert sorted(at_once.seconds) == [1.0] * 3 + [2.0] * 3 + [3.0]


def test_the_windows_are_the_services_own() -> None:
    """The simulated limits are those that the service keeps."""
    assert fleet._MINUTE == (limits._MINUTE_MS + limits._SLACK_MS) / 1000
    assert fleet._TENTH == (limits._TENTH_MS + limits._SLACK_MS) / 1000


def test_jobs_are_answered_at_their_deadline() -> None:
    """A source without room for all leaves jobs with fewer sources, which end at their deadline.

    The k-th job's call begins after 10.25 k seconds: in time for the first eleven. Then the oldest job that waits is
    always one whose deadline comes before its image, so that calls are made in vain.
    """
    busy = SimulatedFleet([LocalPool({"a": 1.0}, 8)], {"v": VendorLimits(1.0, per_minute=6)})
    found = simulate(busy, [float(at) for at in range(60)], images=1, deadline=100.0)
    assert max(found.seconds) == 100.0
    assert found.short == pytest.approx(49 / 60)
    assert 11 < found.calls < 20


def test_waiting_agrees_with_queueing_theory() -> None:
    """Jobs at random at one worker wait as long as Pollaczek and Khinchin say for service times that are constant."""
    service, rate = 1.0, 0.7 * 3600
    arrivals = poisson(round(rate), 40_000)
    found = simulate(SimulatedFleet([LocalPool({"a": service}, 1)]), arrivals, images=1)
    use = 40_000 * service / arrivals[-1]
    wait = use * service / (2 * (1 - use))
    assert statistics.fmean(found.seconds) == pytest.approx(service + wait, rel=0.08)
    assert found.use == [pytest.approx(use, rel=0.01)]


def test_the_same_seed_gives_the_same_arrivals_at_the_rate_asked() -> None:
    """Arrivals are ascending, as many an hour as asked, and the same each time."""
    arrivals = poisson(3600, 5_000)
    assert arrivals == poisson(3600, 5_000)
    assert all(earlier <= later for earlier, later in pairwise(arrivals))
    assert arrivals[-1] == pytest.approx(5_000, rel=0.05)


def test_the_documented_table_is_what_the_simulation_says() -> None:
    """Every row of docs/kubernetes.md that is quickly computed is what `make simulate` prints."""
    text = (REPOSITORY / "docs" / "kubernetes.md").read_text()
    for line in table([row for row in ROWS if row.rate <= 100]):
        assert line in text
