"""A vendor that does as a test says, asked generating by generating through the gate, as a real one's adapter does it."""

import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock

import numpy as np
from PIL import Image

from app.db.models import Job
from attribution.catalog import Source
from attribution.errors import SourceError
from attribution.ports import Deadline, GeneratedImage, ModelRef, SourceState
from attribution.resynthesis.remote.gate import Gate, Reservation
from tests.workers.harness import Bench
from workers.models import Models

Act = Callable[[int, Reservation], None]


def nothing(k: int, permit: Reservation) -> None:
    """Generates as it should."""


@dataclass(slots=True)
class Vendor:
    """Counts what it was asked; `act` may raise, wait, or kill whoever asks, before the generated image is made."""

    id: str
    act: Act = nothing
    revision: str = "1"
    orders: Counter[int] = field(default_factory=Counter)  # by k
    resumed: list[str] = field(default_factory=list)
    billed: int = 0
    under_way: int = 0
    most_under_way: int = 0
    rewrites: dict[int, str] = field(default_factory=dict)  # what it generates instead of the caption, by k
    identifiers: set[str | None] = field(default_factory=set)
    lock: Lock = field(default_factory=Lock)

    @property
    def source(self) -> str:
        """The source's id."""
        return self.id

    @property
    def ref(self) -> ModelRef:
        """As the catalog has it."""
        return ModelRef("fake", self.revision)

    def generate(self, prompt: str, seeds: Sequence[int], deadline: Deadline) -> list[GeneratedImage]:
        """Vendors are asked for one generated image at a time."""
        raise AssertionError("a leaf asks for all generated images at once")

    def generate_one(
        self, prompt: str, k: int, seed: int, deadline: Deadline, gate: Gate, safety_identifier: str | None = None
    ) -> GeneratedImage:
        """The k-th generating: noise that its seed decides."""
        permit = gate.open(k, 1)
        with self.lock:
            self.identifiers.add(safety_identifier)
            if permit.task is None:
                self.orders[k] += 1
                self.billed += 1
            else:
                self.resumed.append(permit.task)
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if permit.task is None:
                permit.submitted(f"{self.id}-{k}-{uuid.uuid4().hex}")
            self.act(k, permit)
        except SourceError as error:
            with self.lock:
                self.billed -= 1
            permit.close(error.state, 0)
            raise
        finally:
            with self.lock:
                self.under_way -= 1
        permit.close(SourceState.DONE, 1)
        pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        return GeneratedImage(Image.fromarray(pixels), seed, self.rewrites.get(k))


class Vendors(Models):
    """A process's models, but that these vendors draw."""

    def __init__(self, models: Models, vendors: dict[str, Vendor]) -> None:
        self.__dict__.update(models.__dict__)
        self._vendors = vendors

    def generator(self, source: Source) -> object:
        """The vendor of that name, or what the catalog says."""
        return self._vendors.get(source.id) or super().generator(source)


def serve(here: Bench, *acts: tuple[str, Act]) -> dict[str, Vendor]:
    """Puts vendors in the places of a process's sources; returns them by id."""
    vendors = {name: Vendor(name, act) for name, act in acts}
    here.process = replace(here.process, models=Vendors(here.process.models, vendors))
    return vendors


def spent(job: Job) -> float:
    """What its calls cost or may cost, in dollars."""
    return float(job.spent_usd)
