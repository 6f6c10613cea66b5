"""A vendor that behaves as a test defines, called image by image through the gate like a real vendor's adapter."""

import uuid
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

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


def nothing(k: int, reservation: Reservation) -> None:
    """Generates as it should."""


@dataclass(slots=True)
class Vendor:
    """Counts its calls; `act` may raise, wait, or kill the caller, before the image is generated."""

    id: str
    act: Act = nothing
    revision: str = "1"
    orders: Counter[int] = field(default_factory=Counter)  # by k
    resumed: list[str] = field(default_factory=list)
    billed: int = 0
    under_way: int = 0
    max_running: int = 0
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
        """Vendors are called for one image at a time."""
        raise AssertionError("a task requested all images at once")

    def generate_one(
        self, prompt: str, k: int, seed: int, deadline: Deadline, gate: Gate, safety_identifier: str | None = None
    ) -> GeneratedImage:
        """The k-th image: noise from its seed."""
        reservation = gate.open(k, 1)
        with self.lock:
            self.identifiers.add(safety_identifier)
            if reservation.task is None:
                self.orders[k] += 1
                self.billed += 1
            else:
                self.resumed.append(reservation.task)
            self.under_way += 1
            self.max_running = max(self.max_running, self.under_way)
        try:
            if reservation.task is None:
                reservation.submitted(f"{self.id}-{k}-{uuid.uuid4().hex}")
            self.act(k, reservation)
        except SourceError as error:
            with self.lock:
                self.billed -= 1
            reservation.close(error.state, 0)
            raise
        finally:
            with self.lock:
                self.under_way -= 1
        reservation.close(SourceState.DONE, 1)
        pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        return GeneratedImage(Image.fromarray(pixels), seed, self.rewrites.get(k))


class VendorModels(Models):
    """A process's models in which these vendors generate."""

    def __init__(self, models: Models, vendors: dict[str, Vendor]) -> None:
        self.__dict__.update(models.__dict__)
        self._vendors = vendors

    def generator(self, source: Source, needed: Collection[str] = ()) -> Any:
        """The vendor of that name, or the catalog's generator."""
        return self._vendors.get(source.id) or super().generator(source, needed)


def serve(here: Bench, *acts: tuple[str, Act]) -> dict[str, Vendor]:
    """Puts vendors in the places of a process's sources; returns them by id."""
    vendors = {name: Vendor(name, act) for name, act in acts}
    here.process = replace(here.process, models=VendorModels(here.process.models, vendors))
    return vendors


def spent(job: Job) -> float:
    """What its calls cost or may cost, in dollars."""
    return float(job.spent_usd)
