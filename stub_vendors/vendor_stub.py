"""The state of one vendor: checks keys, selects the scenario of an order, keeps tasks and images, counts and bills.

A vendor's module translates requests into calls of this class, and results into the vendor's format.
"""

import asyncio
import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from itertools import count
from typing import Any

from PIL import Image
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from attribution.ports import Deadline, ModelRef
from attribution.resynthesis.fake import FakeBehavior, FakeGenerator
from stub_vendors.ledger import Ledger
from stub_vendors.scenario import Behavior, Scenario, named_in


def bearer(request: Request) -> str | None:
    """The key in `Authorization: Bearer`."""
    return authorization(request, "Bearer")


def authorization(request: Request, scheme: str) -> str | None:
    """The value after a scheme's name in `Authorization`."""
    given, _, key = request.headers.get("authorization", "").partition(" ")
    return key if given == scheme else None


async def document(request: Request) -> dict[str, Any] | None:
    """The JSON object in the body, None if there is none."""
    try:
        found = json.loads(await request.body())
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


@lru_cache(maxsize=256)
def generate(vendor: str, prompt: str, seed: int, side: int) -> bytes:
    """A PNG."""
    fake = FakeGenerator(vendor, ModelRef(vendor, "stub"), FakeBehavior(size=side))
    return _png(fake.generate(prompt, [seed], Deadline.after(60))[0].image)


def black(side: int) -> bytes:
    """A black image, as safety filters return it."""
    return _png(Image.new("RGB", (side, side)))


def _png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


WRONG_KEY = "wrong_key"
_VERY_LONG = 3_600.0
_PAGE = "<!doctype html><title>Please wait</title><p>Checking your browser."


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """An error in a vendor's format; {seconds} and {milliseconds} in its texts are replaced by `retry_after`."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


class StubResponse(Exception):
    """Ends a request with a response."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


@dataclass(frozen=True, slots=True)
class PlacedOrder:
    """An accepted order."""

    id: str
    prompt: str
    seed: int
    scenario: Scenario
    ready_at: float

    @property
    def ready(self) -> bool:
        """Whether its generated image is done."""
        return time.monotonic() >= self.ready_at


class VendorStub:
    """One vendor of one server. `errors` are those of a wrong key and of scenarios that are only an error."""

    def __init__(self, name: str, errors: Mapping[str, ErrorReply]) -> None:
        self.name = name
        self.key = f"stub-key-of-{name}"
        self._errors = errors
        self._ids = count(1)
        self.behave(Behavior())
        self.reset()

    def behave(self, behavior: Behavior) -> None:
        """Set the behavior."""
        self.behavior = behavior
        self._chances = random.Random(behavior.chance_seed)

    def reset(self) -> None:
        """Clear all counts and orders."""
        self.ledger = Ledger()
        self.orders: dict[str, PlacedOrder] = {}

    def check(self, key: str | None) -> None:
        """Raises StubResponse if it is not this vendor's key."""
        if key != self.key:
            raise StubResponse(self._error(WRONG_KEY))

    async def generate(self, request: Request, key: str | None, prompt: str, seed: int | None = None) -> PlacedOrder:
        """An order whose response is its generated image. Raises StubResponse."""
        order = self._accept(key, prompt, seed)
        try:
            await self._sleep(request, order.ready_at - time.monotonic())
        finally:
            self.ledger.end()
        if order.scenario is Scenario.HTML:
            raise StubResponse(HTMLResponse(_PAGE))
        return order

    def submit(self, key: str | None, prompt: str, seed: int | None = None) -> PlacedOrder:
        """An order that is polled later, with `task`. Raises StubResponse."""
        order = self._accept(key, prompt, seed)
        delay = min(order.ready_at - time.monotonic(), _VERY_LONG)
        asyncio.get_running_loop().call_later(delay, self.ledger.end)
        if order.scenario is Scenario.HTML:
            raise StubResponse(HTMLResponse(_PAGE))
        return order

    def task(self, key: str | None, task: str) -> PlacedOrder | None:
        """A submitted order, None if there is none. Raises StubResponse."""
        self.ledger.polls += 1
        self.check(key)
        return self.orders.get(task)

    def image(self, order: PlacedOrder) -> bytes:
        """The generated image's bytes."""
        side = self.behavior.side
        if order.scenario in (Scenario.BLACK, Scenario.REFUSED_OUTPUT):
            return black(side)
        data = generate(self.name, order.prompt, order.seed, side)
        return data[: len(data) // 2] if order.scenario is Scenario.BROKEN else data

    def download(self, request: Request, task: str) -> Response:
        """The image at its address, which needs no key; a key that is sent here counts as leaked."""
        self.ledger.downloads += 1
        sent = " ".join(request.headers.values())
        if self.key in sent or "authorization" in request.headers:
            self.ledger.keys_leaked += 1
        order = self.orders.get(task)
        if order is None or order.scenario is Scenario.EXPIRED:
            return Response("<Error><Code>AccessDenied</Code></Error>", 403, media_type="application/xml")
        return Response(self.image(order), media_type="image/png")

    def address(self, request: Request, order: PlacedOrder, path: str) -> str:
        """The address of a path: of this server, or of another host in the scenario `foreign`."""
        host = self.behavior.foreign if order.scenario is Scenario.FOREIGN else str(request.base_url)
        return f"{host.rstrip('/')}/{path.lstrip('/')}"

    def _accept(self, key: str | None, prompt: str, seed: int | None) -> PlacedOrder:
        self.ledger.orders += 1
        self.check(key)
        scenario = self._choose(prompt)
        self.ledger.scenarios[scenario] += 1
        if scenario in self._errors:
            raise StubResponse(self._error(scenario))
        behavior = self.behavior
        self.ledger.begin()
        if scenario is not Scenario.REFUSED_PROMPT:
            self.ledger.billed += 1
        duration = {Scenario.HANG: _VERY_LONG, Scenario.SLOW: behavior.slow}.get(scenario, behavior.latency)
        ordinal = next(self._ids)
        order = PlacedOrder(
            id=f"{self.name}-{ordinal}",
            prompt=prompt,
            seed=ordinal if seed is None else seed,
            scenario=scenario,
            ready_at=time.monotonic() + duration,
        )
        self.orders[order.id] = order
        return order

    def _choose(self, prompt: str) -> Scenario:
        behavior, ledger = self.behavior, self.ledger
        if behavior.concurrency is not None and ledger.in_flight >= behavior.concurrency:
            return Scenario.RATE_LIMITED
        if behavior.per_minute is not None and ledger.within(60) >= behavior.per_minute:
            return Scenario.RATE_LIMITED
        if named := named_in(prompt):
            return named
        dice = self._chances.random()
        for scenario, chance in behavior.chances.items():
            dice -= chance
            if dice < 0:
                return scenario
        return behavior.scenario

    def _error(self, what: str) -> Response:
        reply, seconds = self._errors[what], self.behavior.retry_after
        words = {"seconds": f"{seconds:g}", "milliseconds": f"{seconds * 1000:.0f}"}
        return JSONResponse(_filled(reply.body, words), reply.status, _filled(dict(reply.headers), words))

    async def _sleep(self, request: Request, seconds: float) -> None:
        """Wait, unless the client disconnects."""
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
