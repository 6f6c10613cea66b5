"""Stub vendors for measurements: several of each in a process of their own, and a service whose sources they are.

`python -m perf.vendors` is that process. Each of its halls is a whole set of stub vendors on a port of its own.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from devstack.stack import Stack
from perf.fakes import service_over
from stub_vendors.server import serve

HALLS = "abcde"
_PATHS = {"openai": "/v1", "stability": "/v2beta", "bfl": "/v1"}
_MODELS = {"openai": "gpt-image-2", "stability": "sd3.5-large", "bfl": "flux-2-pro"}
_PARAMETERS = {
    "openai": 'size = "1024x1024"\nquality = "medium"',
    "stability": 'aspect_ratio = "1:1"',
    "bfl": "width = 1024\nheight = 1024",
}
_SOURCE = """
schema = 1
id = "{id}"
name = "{id}"
enabled = true
family = "stub"
platform = "{vendor}"
model = "{model}"
revision = "1"
license = "none"
terms = "https://vendor.example/terms"
price_usd = {price}
adapter = "{vendor}"
[parameters]
base_url = "{base_url}"
key = "{vendor}"
{parameters}
[limits]
timeout_seconds = {timeout}
{limits}
"""


@dataclass(frozen=True, slots=True)
class Served:
    """A source at one of the stub vendors: seconds that a generated image takes there, and the limits that it is held to."""

    vendor: str
    hall: str
    latency: float
    concurrency: int | None = None
    per_minute: int | None = None
    price: float = 0.04
    timeout: float = 60.0

    @property
    def id(self) -> str:
        """The source's id."""
        return f"{self.vendor}-{self.hall}"

    def bound(self, calls: int) -> float:
        """The least seconds in which so many calls can be made within the limits."""
        rounds = -(-calls // self.concurrency) if self.concurrency else 1
        minutes = (calls - 1) // self.per_minute if self.per_minute else 0
        return max(rounds * self.latency, 60.0 * minutes + self.latency)

    def toml(self, url: str) -> str:
        """Its file in the catalog."""
        limits = {"concurrency": self.concurrency, "per_minute": self.per_minute}
        return _SOURCE.format(
            id=self.id,
            vendor=self.vendor,
            model=_MODELS[self.vendor],
            price=self.price,
            base_url=f"{url}/{self.vendor}{_PATHS[self.vendor]}",
            parameters=_PARAMETERS[self.vendor],
            timeout=self.timeout,
            limits="\n".join(f"{name} = {value}" for name, value in limits.items() if value is not None),
        )


@dataclass(frozen=True, slots=True)
class Halls:
    """The running vendors, seen from outside of the service."""

    clients: Mapping[str, httpx.Client]  # by hall
    sources: Sequence[Served]

    def behave(self, served: Served, **more: Any) -> None:
        """Has a vendor take its time and keep its limits, and besides do as it is told."""
        behavior = {
            "latency": served.latency,
            "concurrency": served.concurrency,
            "per_minute": served.per_minute,
            "side": 64,
            **more,
        }
        self.clients[served.hall].put(f"/_stub/vendors/{served.vendor}", json=behavior).raise_for_status()

    def forget(self) -> None:
        """What was counted."""
        for client in self.clients.values():
            client.post("/_stub/forget").raise_for_status()

    def seen(self) -> dict[str, dict[str, Any]]:
        """What each source's vendor counted."""
        halls = {hall: client.get("/_stub/seen").raise_for_status().json() for hall, client in self.clients.items()}
        return {each.id: halls[each.hall][each.vendor] for each in self.sources}


@contextmanager
def vendor_service(
    sources: Sequence[Served],
    workers: Mapping[str, tuple[str, ...]],
    environment: Mapping[str, str] | None = None,
) -> Iterator[tuple[Stack, Halls]]:
    """The vendors, and a service that is warm and has them as its sources."""
    settings = {
        "EGRESS__ALLOW": '["127.0.0.1"]',
        **{f"VENDOR_KEYS__{vendor.upper()}": f"stub-key-of-{vendor}" for vendor in _PATHS},
        **(environment or {}),
    }
    with _halls() as urls, ExitStack() as stack:
        clients = {
            hall: stack.enter_context(httpx.Client(base_url=url, trust_env=False, timeout=30))
            for hall, url in urls.items()
        }
        halls = Halls(clients, sources)
        for each in sources:
            halls.behave(each)
        catalog = {each.id: each.toml(urls[each.hall]) for each in sources}
        yield stack.enter_context(service_over(catalog, workers=workers, environment=settings)), halls


@contextmanager
def _halls() -> Iterator[dict[str, str]]:
    """The vendors' own process; the address of each hall. It ends when its standard input does."""
    command = [sys.executable, "-m", "perf.vendors"]
    # What it complains of is that callers were killed.
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=quiet, text=True)  # noqa: S603
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def main() -> None:
    """Serves until standard input ends."""
    with ExitStack() as stack:
        print(json.dumps({hall: stack.enter_context(serve()).url for hall in HALLS}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
