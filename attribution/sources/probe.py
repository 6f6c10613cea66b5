"""Asks a source for one image of something harmless, the way a job would, and says what came of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from attribution.catalogue import Catalogue, Source
from attribution.errors import AttributionError
from attribution.ports import Caption, Deadline, Generator, ModelRef, SourceState
from attribution.resynthesise.seeds import derive_seeds
from attribution.resynthesise.stage import resynthesise
from attribution.sources.till import Counted, Ordered, Till

PROMPT = "a red apple on a wooden table"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one source did. `cost_usd` is None where it is billed and nobody knows the price."""

    source: str
    state: SourceState
    seconds: float
    size: tuple[int, int] | None
    cost_usd: float | None
    reason: str | None

    @property
    def drew(self) -> bool:
        """Whether there is an image."""
        return self.state is SourceState.DONE

    def line(self, width: int) -> str:
        """As it is printed."""
        size = "–" if self.size is None else "{}×{}".format(*self.size)
        cost = "price unknown" if self.cost_usd is None else f"${self.cost_usd:.3f}"
        told = f"  {self.reason}" if self.reason else ""
        return f"{self.source:<{width}}  {self.state:<14}  {self.seconds:6.1f} s  {size:>9}  {cost}{told}"


def choose(catalogue: Catalogue, ids: list[str]) -> tuple[Source, ...]:
    """The sources named, or else the enabled ones. Raises UnknownSource."""
    return catalogue.select(ids or None, ())


def probe(
    source: Source,
    build: Callable[[Source], Generator],
    prompt: str,
    today: date,
    save: Path | None = None,
    timeout: float | None = None,
) -> Answer:
    """One source's answer; it never raises what the source did wrong. Loading a model does not count as its time."""
    obstacle = source.obstacle(today)
    if obstacle is not None:
        return Answer(source.id, obstacle[0], 0.0, None, 0.0, obstacle[1])
    began = time.monotonic()
    try:
        generator = build(source)
    except AttributionError as error:
        return Answer(source.id, SourceState.UNAVAILABLE, time.monotonic() - began, None, 0.0, str(error))
    unforeseen: list[Exception] = []
    till: Till | None = None
    if isinstance(generator, Ordered):
        till = Till()
        generator = Counted(generator, till)
    drawn = resynthesise(
        generator,
        Caption(prompt, ModelRef("given", "")),
        derive_seeds(prompt, source.id, source.revision, 1),
        Deadline.after(timeout or source.limits.timeout_seconds),
        unforeseen.append,
    )
    # Its kind alone: what it says may quote a request.
    reason = f"{drawn.reason} ({type(unforeseen[0]).__name__})" if unforeseen else drawn.reason
    cost = _cost(source, till.images if till is not None else len(drawn.drawings))
    if not drawn.drawings:
        return Answer(source.id, drawn.state, drawn.seconds, None, cost, reason)
    image = drawn.drawings[0].image
    if save is not None:
        save.mkdir(parents=True, exist_ok=True)
        image.save(save / f"{source.id}.png")
    return Answer(source.id, drawn.state, drawn.seconds, image.size, cost, reason)


def _cost(source: Source, images: int) -> float | None:
    if source.price_usd is not None:
        return source.price_usd * images
    return None if source.external and images else 0.0
