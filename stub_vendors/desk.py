"""One vendor's counter: checks the key, decides what happens to an order, keeps tasks and images, counts and bills.

A vendor's module turns requests into calls of this, and what comes of them into the vendor's own words.
"""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from stub_vendors.generated_image import black, generate
from stub_vendors.ledger import Ledger
from stub_vendors.scenario import Behavior, Scenario, named_in

WRONG_KEY = "wrong_key"
_FOR_EVER = 3_600.0
_PAGE = "<!doctype html><title>Please wait</title><p>Checking your browser."


@dataclass(frozen=True, slots=True)
class Says:
    """An error in a vendor's words; in all texts {seconds} and {milliseconds} become what `retry_after` says."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


class StubResponse(Exception):
    """Ends a request with an answer."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


@dataclass(frozen=True, slots=True)
class PlacedOrder:
    """An order that was taken."""

    id: str
    prompt: str
    seed: int
    scenario: Scenario
    ready_at: float

    @property
    def ready(self) -> bool:
        """Whether its generated image is done."""
        return time.monotonic() >= self.ready_at


class Desk:
    """One vendor of one server. `says` has its words for a wrong key, and for those scenarios that are plain errors."""

    def __init__(self, vendor: str, says: Mapping[str, Says]) -> None:
        self.vendor = vendor
        self.key = f"stub-key-of-{vendor}"
        self._says = says
        self._ids = count(1)
        self.behave(Behavior())
        self.forget()

    def behave(self, behavior: Behavior) -> None:
        """From now on."""
        self.behavior = behavior
        self._chances = random.Random(behavior.chance_seed)

    def forget(self) -> None:
        """All that was counted, and all orders."""
        self.ledger = Ledger()
        self.orders: dict[str, PlacedOrder] = {}

    def check(self, key: str | None) -> None:
        """Raises Said where it is not this vendor's key."""
        if key != self.key:
            raise StubResponse(self._error(WRONG_KEY))

    async def generate(self, request: Request, key: str | None, prompt: str, seed: int | None = None) -> PlacedOrder:
        """An order that is answered with its generated image. Raises Said."""
        order = self._take(key, prompt, seed)
        try:
            await self._sleep(request, order.ready_at - time.monotonic())
        finally:
            self.ledger.end()
        if order.scenario is Scenario.HTML:
            raise StubResponse(HTMLResponse(_PAGE))
        return order

    def submit(self, key: str | None, prompt: str, seed: int | None = None) -> PlacedOrder:
        """An order that is asked for later, with `task`. Raises Said."""
        order = self._take(key, prompt, seed)
        delay = min(order.ready_at - time.monotonic(), _FOR_EVER)
        asyncio.get_running_loop().call_later(delay, self.ledger.end)
        if order.scenario is Scenario.HTML:
            raise StubResponse(HTMLResponse(_PAGE))
        return order

    def task(self, key: str | None, task: str) -> PlacedOrder | None:
        """A submitted order, None where there is none of that name. Raises Said."""
        self.ledger.polls += 1
        self.check(key)
        return self.orders.get(task)

    def image(self, order: PlacedOrder) -> bytes:
        """The generated image's bytes."""
        side = self.behavior.side
        if order.scenario in (Scenario.BLACK, Scenario.REFUSED_OUTPUT):
            return black(side)
        data = generate(self.vendor, order.prompt, order.seed, side)
        return data[: len(data) // 2] if order.scenario is Scenario.BROKEN else data

    def download(self, request: Request, task: str) -> Response:
        """The generated image at its address, which is all that is asked for: whoever sends a key here gives it away."""
        self.ledger.downloads += 1
        sent = " ".join(request.headers.values())
        if self.key in sent or "authorization" in request.headers:
            self.ledger.keys_leaked += 1
        order = self.orders.get(task)
        if order is None or order.scenario is Scenario.EXPIRED:
            return Response("<Error><Code>AccessDenied</Code></Error>", 403, media_type="application/xml")
        return Response(self.image(order), media_type="image/png")

    def address(self, request: Request, order: PlacedOrder, path: str) -> str:
        """An address to hand out: here, unless the order leads elsewhere."""
        host = self.behavior.foreign if order.scenario is Scenario.FOREIGN else str(request.base_url)
        return f"{host.rstrip('/')}/{path.lstrip('/')}"

    def _take(self, key: str | None, prompt: str, seed: int | None) -> PlacedOrder:
        self.ledger.orders += 1
        self.check(key)
        scenario = self._choose(prompt)
        self.ledger.scenarios[scenario] += 1
        if scenario in self._says:
            raise StubResponse(self._error(scenario))
        does = self.behavior
        self.ledger.begin()
        if scenario is not Scenario.REFUSED_PROMPT:
            self.ledger.billed += 1
        takes = {Scenario.HANG: _FOR_EVER, Scenario.SLOW: does.slow}.get(scenario, does.latency)
        ordinal = next(self._ids)
        order = PlacedOrder(
            id=f"{self.vendor}-{ordinal}",
            prompt=prompt,
            seed=ordinal if seed is None else seed,
            scenario=scenario,
            ready_at=time.monotonic() + takes,
        )
        self.orders[order.id] = order
        return order

    def _choose(self, prompt: str) -> Scenario:
        does, ledger = self.behavior, self.ledger
        if does.concurrency is not None and ledger.in_flight >= does.concurrency:
            return Scenario.RATE_LIMITED
        if does.per_minute is not None and ledger.within(60) >= does.per_minute:
            return Scenario.RATE_LIMITED
        if named := named_in(prompt):
            return named
        dice = self._chances.random()
        for scenario, chance in does.chances.items():
            dice -= chance
            if dice < 0:
                return scenario
        return does.scenario

    def _error(self, what: str) -> Response:
        says, seconds = self._says[what], self.behavior.retry_after
        words = {"seconds": f"{seconds:g}", "milliseconds": f"{seconds * 1000:.0f}"}
        return JSONResponse(_filled(says.body, words), says.status, _filled(dict(says.headers), words))

    async def _sleep(self, request: Request, seconds: float) -> None:
        """As long as that, unless the caller gives up."""
        leave = asyncio.create_task(_left(request))
        try:
            await asyncio.wait({leave}, timeout=max(0.0, seconds))
        finally:
            leave.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _filled(value: Any, words: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(each, words) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, words) for each in value]
    if isinstance(value, str):
        for word, filling in words.items():
            value = value.replace(f"{{{word}}}", filling)
    return value
