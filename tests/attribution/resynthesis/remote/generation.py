"""Generates one image at a stub as the service does, with a gate that records its calls."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from attribution.catalog import Source
from attribution.catalog.source import Parameter
from attribution.errors import SourceError
from attribution.ports import Deadline, GeneratedImage, SourceState
from attribution.resynthesis.remote.build import build_remote
from attribution.resynthesis.remote.engine import RemoteGenerator
from attribution.resynthesis.remote.http_client import HttpClient
from attribution.resynthesis.remote.web import Connections
from stub_vendors import Stub
from tests.attribution.resynthesis.remote.contract import Contract

CAPTION = "a red hat on a table"
SECONDS = 20.0
_POLL_PAUSE = 0.01


@dataclass
class RecordingGate:
    """Allows every call and records it. It is its own reservation."""

    task: str | None = None
    opened: list[tuple[int, int]] = field(default_factory=list)
    submitted_tasks: list[str] = field(default_factory=list)
    closed: list[tuple[SourceState, int]] = field(default_factory=list)

    def open(self, k: int, images: int) -> "RecordingGate":
        """Allow and record."""
        self.opened.append((k, images))
        return self

    def submitted(self, task: str) -> None:
        """Record."""
        self.submitted_tasks.append(task)

    def close(self, state: SourceState, images: int) -> None:
        """Record."""
        self.closed.append((state, images))


def source_of(contract: Contract, stub: Stub, parameters: Mapping[str, Parameter] | None = None) -> Source:
    """A catalog entry whose base URL is the stub."""
    plain = Source(1, contract.adapter, contract.title, True, "f", "p", contract.model, "1", "none", 0, "")
    given = {**contract.parameters, **leading(contract, stub), **(parameters or {})}
    return replace(plain, adapter=contract.adapter, parameters=given)


def leading(contract: Contract, stub: Stub) -> dict[str, Parameter]:
    """The parameters for the stub's address and key."""
    there = {
        name: value.replace("{stub}", stub.url)
        for name, value in contract.parameters.items()
        if isinstance(value, str) and "{stub}" in value
    }
    return {**there, "base_url": stub.base_url(contract.adapter, contract.path), "key": contract.adapter}


def key_of(contract: Contract, key: str | None = None) -> str:
    """The stub's key, or another, in the format of the vendor's keys."""
    return contract.key.format(key=key or f"stub-key-of-{contract.adapter}")


def connections(client: HttpClient, secrets: Mapping[str, str | None]) -> Connections:
    """Real HTTP, these keys, and shortened pauses."""
    return Connections(client, client.fetch, secrets.get, lambda seconds: time.sleep(min(seconds, _POLL_PAUSE)))


def generator_of(contract: Contract, stub: Stub, client: HttpClient, key: str | None = None) -> RemoteGenerator:
    """A generator with the stub's key, or another."""
    secrets = {contract.adapter: key_of(contract, key)}
    return build_remote(source_of(contract, stub), connections(client, secrets))


def generate(
    generator: RemoteGenerator, gate: RecordingGate, seed: int = 5, seconds: float = SECONDS, caption: str = CAPTION
) -> GeneratedImage | SourceError:
    """The first generated image, or the error."""
    try:
        return generator.generate_one(caption, 0, seed, Deadline.after(seconds), gate, "tenant-hash")
    except SourceError as error:
        return error
