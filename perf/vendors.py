"""Stub vendors for measurements: several of each in one process, and a service that has them as sources.

`python -m perf.vendors` is that process. Each group is a complete set of stub vendors on its own port.
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

GROUPS = "abcde"
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
class VendorSource:
    """A source at a stub vendor: seconds per image, and the vendor's limits."""

    vendor: str
    group: str
    latency: float
    concurrency: int | None = None
    per_minute: int | None = None
    price: float = 0.04
    timeout: float = 60.0

    @property
    def id(self) -> str:
        """The source's id."""
        return f"{self.vendor}-{self.group}"

    def bound(self, calls: int) -> float:
        """The least seconds for that many calls within the limits."""
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
class StubVendors:
    """Clients of the running vendors."""

    clients: Mapping[str, httpx.Client]  # by group
    sources: Sequence[VendorSource]

    def behave(self, source: VendorSource, **more: Any) -> None:
        """Configures a vendor's latency, limits and other behavior."""
        behavior = {
            "latency": source.latency,
            "concurrency": source.concurrency,
            "per_minute": source.per_minute,
            "side": 64,
            **more,
        }
        self.clients[source.group].put(f"/_stub/vendors/{source.vendor}", json=behavior).raise_for_status()

    def reset(self) -> None:
        """Resets the counters."""
        for client in self.clients.values():
            client.post("/_stub/reset").raise_for_status()

    def counts(self) -> dict[str, dict[str, Any]]:
        """The counters of each source's vendor."""
        vendors = {
            group: client.get("/_stub/counts").raise_for_status().json() for group, client in self.clients.items()
        }
        return {each.id: vendors[each.group][each.vendor] for each in self.sources}


@contextmanager
def vendor_service(
    sources: Sequence[VendorSource],
    workers: Mapping[str, tuple[str, ...]],
    environment: Mapping[str, str] | None = None,
    others: Mapping[str, str] | None = None,
) -> Iterator[tuple[Stack, StubVendors]]:
    """The vendors, and a warm service with them and `others` (id → file) as sources."""
    settings = {
        "EGRESS__ALLOW": '["127.0.0.1"]',
        **{f"VENDOR_KEYS__{vendor.upper()}": f"stub-key-of-{vendor}" for vendor in _PATHS},
        **(environment or {}),
    }
    with _vendor_process() as urls, ExitStack() as stack:
        clients = {
            group: stack.enter_context(httpx.Client(base_url=url, trust_env=False, timeout=30))
            for group, url in urls.items()
        }
        vendors = StubVendors(clients, sources)
        for each in sources:
            vendors.behave(each)
        catalog = {each.id: each.toml(urls[each.group]) for each in sources} | dict(others or {})
        yield stack.enter_context(service_over(catalog, workers=workers, environment=settings)), vendors


@contextmanager
def _vendor_process() -> Iterator[dict[str, str]]:
    """The vendors' process; yields the address of each group. It ends with its standard input."""
    command = [sys.executable, "-m", "perf.vendors"]
    # Its only output would be about callers that were killed.
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
        print(json.dumps({group: stack.enter_context(serve()).url for group in GROUPS}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
