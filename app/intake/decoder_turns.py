"""Shares the decoding children between tenants: those that wait take turns by tenant, and no tenant has all of them."""

import uuid
from asyncio import Future, get_running_loop, timeout
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class NoDecoderFree(Exception):
    """All children were busy for too long."""


class DecoderTurns:
    """Belongs to one event loop. Whose turn it is goes round over the tenants that wait, however many each has."""

    def __init__(self, total: int, per_tenant: int) -> None:
        self._free = total
        self._per_tenant = per_tenant
        self._held: Counter[uuid.UUID | None] = Counter()
        self._given: set[Future[None]] = set()  # until those that waited go on
        self._waiting: OrderedDict[uuid.UUID | None, deque[Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def take(self, tenant_id: uuid.UUID | None, longest: float) -> AsyncIterator[None]:
        """One child, until the block is left. Without a tenant the limit of one does not apply.

        Raises NoDecoderFree after `longest` seconds.
        """
        if not self._waiting and self._may_have(tenant_id):
            self._give(tenant_id)
        else:
            await self._wait(tenant_id, longest)
        try:
            yield
        finally:
            self._return(tenant_id)

    async def _wait(self, tenant_id: uuid.UUID | None, longest: float) -> None:
        turn: Future[None] = get_running_loop().create_future()
        self._waiting.setdefault(tenant_id, deque()).append(turn)
        self._next()
        try:
            async with timeout(longest):
                await turn
        except BaseException as error:
            if turn in self._given:
                self._return(tenant_id)
            else:
                self._forget(tenant_id, turn)
            if isinstance(error, TimeoutError):
                raise NoDecoderFree from error
            raise
        finally:
            self._given.discard(turn)

    def _may_have(self, tenant_id: uuid.UUID | None) -> bool:
        return self._free > 0 and (tenant_id is None or self._held[tenant_id] < self._per_tenant)

    def _give(self, tenant_id: uuid.UUID | None) -> None:
        self._free -= 1
        self._held[tenant_id] += 1

    def _return(self, tenant_id: uuid.UUID | None) -> None:
        self._free += 1
        self._held[tenant_id] -= 1
        if not self._held[tenant_id]:
            del self._held[tenant_id]
        self._next()

    def _next(self) -> None:
        """Gives what is free to those that wait, a tenant at a time."""
        for tenant_id in list(self._waiting):
            if not self._free:
                return
            if self._may_have(tenant_id):
                waiting = self._waiting.pop(tenant_id)
                while waiting:
                    turn = waiting.popleft()
                    if not turn.done():  # a canceled one stays here until its task runs
                        self._give(tenant_id)
                        self._given.add(turn)
                        turn.set_result(None)
                        break
                if waiting:
                    self._waiting[tenant_id] = waiting  # behind the others

    def _forget(self, tenant_id: uuid.UUID | None, turn: "Future[None]") -> None:
        with suppress(KeyError, ValueError):
            self._waiting[tenant_id].remove(turn)
            if not self._waiting[tenant_id]:
                del self._waiting[tenant_id]
