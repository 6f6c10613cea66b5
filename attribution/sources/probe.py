"""Asks a source for one image of something harmless, the way a job would, and says what came of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from attribution.catalog import Catalog, Source
from attribution.errors import AttributionError
from attribution.ports import Caption, Deadline, Generator, ModelRef, SourceState
from attribution.resynthesis.seeds import derive_seeds
from attribution.resynthesis.stage import resynthesize
from attribution.sources.billing_counter import BillingCounter, Counted, Ordered

PROMPT = "a red apple on a wooden table"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What one source did. `cost_usd` is None where it is billed and nobody knows the price."""

    source: str
    state: SourceState
    seconds: float
    size: tuple[int, int] | None
    cost_usd: float | None
    reason: str | None

    @property
    def generated(self) -> bool:
        """Whether there is an image."""
        return self.state is SourceState.DONE

    def line(self, width: int) -> str:
        """As it is printed."""
        size = "–" if self.size is None else "{}×{}".format(*self.size)
        cost = "price unknown" if self.cost_usd is None else f"${self.cost_usd:.3f}"
        told = f"  {self.reason}" if self.reason else ""
        return f"{self.source:<{width}}  {self.state:<14}  {self.seconds:6.1f} s  {size:>9}  {cost}{told}"


def choose(catalog: Catalog, ids: list[str]) -> tuple[Source, ...]:
    """The sources named, or else the enabled ones. Raises UnknownSource."""
    return catalog.select(ids or None, ())


def probe(
    source: Source,
    build: Callable[[Source], Generator],
    prompt: str,
    today: date,
    save: Path | None = None,
    timeout: float | None = None,
) -> ProbeResult:
    """One source's answer; it never raises what the source did wrong. Loading a model does not count as its time."""
    obstacle = source.obstacle(today)
    if obstacle is not None:
        return ProbeResult(source.id, obstacle[0], 0.0, None, 0.0, obstacle[1])
    began = time.monotonic()
    try:
        generator = build(source)
    except AttributionError as error:
        return ProbeResult(source.id, SourceState.UNAVAILABLE, time.monotonic() - began, None, 0.0, str(error))
    unforeseen: list[Exception] = []
    till: BillingCounter | None = None
    if isinstance(generator, Ordered):
        till = BillingCounter()
        generator = Counted(generator, till)
    generated = resynthesize(
        generator,
        Caption(prompt, ModelRef("given", "")),
        derive_seeds(prompt, source.id, source.revision, 1),
        Deadline.after(timeout or source.limits.timeout_seconds),
        unforeseen.append,
    )
    # Its kind alone: what it says may quote a request.
    reason = f"{generated.reason} ({type(unforeseen[0]).__name__})" if unforeseen else generated.reason
    cost = _cost(source, till.images if till is not None else len(generated.generated_images))
    if not generated.generated_images:
        return ProbeResult(source.id, generated.state, generated.seconds, None, cost, reason)
    image = generated.generated_images[0].image
    if save is not None:
        save.mkdir(parents=True, exist_ok=True)
        image.save(save / f"{source.id}.png")
    return ProbeResult(source.id, generated.state, generated.seconds, image.size, cost, reason)


def _cost(source: Source, images: int) -> float | None:
    if source.price_usd is not None:
        return source.price_usd * images
    return None if source.external and images else 0.0
