"""How tenants share the decoders: by turns, with a limit for each, and with an end to waiting."""

import uuid
from asyncio import Event, create_task, sleep

import anyio
import pytest

from app.intake.decoder_turns import DecoderTurns, NoDecoderFree

GREEDY, HONEST, THIRD = (uuid.UUID(int=k) for k in (1, 2, 3))


async def hold(turns: DecoderTurns, tenant: uuid.UUID | None, order: list[uuid.UUID | None], release: Event) -> None:
    """Takes a turn, notes it, and keeps it until it is released."""
    async with turns.take(tenant, 9):
        order.append(tenant)
        await release.wait()


def test_no_tenant_has_all_of_them():
    """One with many files leaves room for another, which need not wait."""

    async def run() -> None:
        turns, release, order = DecoderTurns(3, 2), Event(), list[uuid.UUID | None]()
        tasks = [create_task(hold(turns, GREEDY, order, release)) for _ in range(50)]
        await sleep(0)
        async with turns.take(HONEST, 0.01):
            assert order == [GREEDY, GREEDY]
        release.set()
        for task in tasks:
            await task
        assert order == [GREEDY] * 50

    anyio.run(run)


def test_turns_go_round_over_tenants():
    """However many one has waiting: the others' come after one of its."""

    async def run() -> None:
        turns, first, rest, order = DecoderTurns(1, 1), Event(), Event(), list[uuid.UUID | None]()
        tasks = [create_task(hold(turns, GREEDY, order, first))]
        await sleep(0)
        for tenant in [GREEDY] * 20 + [HONEST] * 2 + [THIRD] * 2:
            tasks.append(create_task(hold(turns, tenant, order, rest)))
            await sleep(0)
        rest.set()
        first.set()
        for task in tasks:
            await task
        assert order[1:7] == [GREEDY, HONEST, THIRD] * 2

    anyio.run(run)


def test_waiting_has_an_end():
    """Who waits too long is refused, and does not come up later."""

    async def run() -> None:
        turns, release = DecoderTurns(1, 1), Event()
        task = create_task(hold(turns, GREEDY, [], release))
        await sleep(0)
        with pytest.raises(NoDecoderFree):
            async with turns.take(HONEST, 0.02):
                pass
        release.set()
        await task
        async with turns.take(HONEST, 0.02):
            pass

    anyio.run(run)


def test_a_canceled_turn_is_free_again():
    """Whether it was canceled while it waited or in the moment in which it was given."""

    async def run() -> None:
        turns = DecoderTurns(1, 1)
        for _ in range(3):
            release, order = Event(), list[uuid.UUID | None]()
            holder = create_task(hold(turns, GREEDY, order, release))
            await sleep(0)
            waiting = [create_task(hold(turns, HONEST, order, release)) for _ in range(3)]
            await sleep(0)
            waiting[0].cancel()
            release.set()
            await holder
            waiting[1].cancel()  # it has just been given its turn, or the next has
            await anyio.wait_all_tasks_blocked()
            for task in waiting:
                task.cancel()
            await anyio.wait_all_tasks_blocked()
        async with turns.take(THIRD, 0.02):
            pass

    anyio.run(run)


def test_without_a_tenant_only_the_total_counts():
    """Images of vendors belong to no tenant in particular."""

    async def run() -> None:
        turns = DecoderTurns(2, 1)
        async with turns.take(None, 0.01), turns.take(None, 0.01):
            with pytest.raises(NoDecoderFree):
                async with turns.take(None, 0.01):
                    pass

    anyio.run(run)
