"""Threads for steps that wait: tenants share them, and what one of them is to run delays no other's work."""

import threading

from tests.waiting import wait_until
from workers.wakeups import WaitThreads


def test_one_owners_slow_work_leaves_threads_for_others() -> None:
    """A hundred steps that hang hold half of the threads; another owner's is run meanwhile, and the rest later."""
    go_on, ran = threading.Event(), []
    running: set[int] = set()

    def hang(number: int) -> None:
        running.add(number)
        go_on.wait(30)

    threads = WaitThreads("test", 8)
    try:
        for number in range(100):
            threads.submit(lambda number=number: hang(number), "hostile")  # type: ignore[misc]
        wait_until(lambda: len(running) == 4)
        for owner in ("honest", "other"):
            threads.submit(lambda owner=owner: ran.append(owner), owner)  # type: ignore[misc]
        wait_until(lambda: sorted(ran) == ["honest", "other"])
        assert len(running) == 4
        go_on.set()
        wait_until(lambda: len(running) == 100)
    finally:
        go_on.set()
        threads.close()


def test_work_that_fails_frees_its_thread() -> None:
    """Its owner's later work is run."""
    ran = []
    threads = WaitThreads("test", 2)

    def fail() -> None:
        raise ValueError

    for _ in range(10):
        threads.submit(fail, "one")
    threads.submit(lambda: ran.append(1), "one")
    wait_until(lambda: ran == [1])
    threads.close()
