"""`sources probe`: generates one harmless image at a source, as a job would, and reports the result and its cost."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from attribution.catalog import Catalog, Source
from attribution.errors import AttributionError
from attribution.ports import Caption, Deadline, GeneratedImage, Generator, ModelRef, SourceState
from attribution.resynthesis.inputs import derive_seeds
from attribution.resynthesis.remote.gate import FreeReservation, GatedGenerator
from attribution.resynthesis.stage import RemarkingGenerator, resynthesize

PROMPT = "a red apple on a wooden table"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The result of one source. `cost_usd` is None if it is billed and its price is unknown."""

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
        """The result as a printed line; the source's id takes `width` characters."""
        size = "–" if self.size is None else "{}×{}".format(*self.size)
        cost = "price unknown" if self.cost_usd is None else f"${self.cost_usd:.3f}"
        reason = f"  {self.reason}" if self.reason else ""
        return f"{self.source:<{width}}  {self.state:<14}  {self.seconds:6.1f} s  {size:>9}  {cost}{reason}"


def choose(catalog: Catalog, ids: Sequence[str]) -> tuple[Source, ...]:
    """The sources of these ids, or all enabled ones if there are none. Raises UnknownSource."""
    return catalog.select(ids or None, ())


def probe(
    source: Source,
    build: Callable[[Source], Generator],
    prompt: str,
    today: date,
    save: Path | None = None,
    timeout: float | None = None,
) -> ProbeResult:
    """Generate one image. What the source does wrong is in the result and not raised.

    Args:
        source: The source to test.
        build: Loads its generator; loading does not count as the source's time.
        prompt: What to generate.
        today: Decides whether a deprecated source has ended.
        save: The directory to write the image to, as ID.png.
        timeout: Seconds, by default the source's own limit.
    """
    obstacle = source.obstacle(today)
    if obstacle is not None:
        return ProbeResult(source.id, obstacle[0], 0.0, None, 0.0, obstacle[1])
    started = time.monotonic()
    try:
        generator = build(source)
    except AttributionError as error:
        return ProbeResult(source.id, SourceState.UNAVAILABLE, time.monotonic() - started, None, 0.0, str(error))
    unexpected: list[Exception] = []
    counter: BillingCounter | None = None
    if isinstance(generator, GatedGenerator):
        counter = BillingCounter()
        generator = CountedGenerator(generator, counter)
    result = resynthesize(
        generator,
        Caption(prompt, ModelRef("given", "")),
        derive_seeds(prompt, source.id, source.revision, 1),
        Deadline.after(timeout or source.limits.timeout_seconds),
        unexpected.append,
    )
    # Only the exception's type: its message may quote a request.
    reason = f"{result.reason} ({type(unexpected[0]).__name__})" if unexpected else result.reason
    cost = _cost(source, counter.images if counter is not None else len(result.generated_images))
    if not result.generated_images:
        return ProbeResult(source.id, result.state, result.seconds, None, cost, reason)
    image = result.generated_images[0].image
    if save is not None:
        save.mkdir(parents=True, exist_ok=True)
        image.save(save / f"{source.id}.png")
    return ProbeResult(source.id, result.state, result.seconds, image.size, cost, reason)


class BillingCounter:
    """A gate that allows every call and adds up the billed `images`."""

    def __init__(self) -> None:
        self.images = 0

    def open(self, k: int, images: int) -> "_CountedReservation":
        """A reservation that is counted when it is closed."""
        return _CountedReservation(self)


class _CountedReservation(FreeReservation):
    def __init__(self, counter: BillingCounter) -> None:
        super().__init__()
        self._counter = counter

    def close(self, state: SourceState, images: int) -> None:
        self._counter.images += images


class CountedGenerator:
    """Generates one image after another through a counter. Rate limits are not waited for."""

    def __init__(self, generator: GatedGenerator, counter: BillingCounter) -> None:
        self.source, self.ref = generator.source, generator.ref
        self._generator = generator
        self._counter = counter

    def generate(self, prompt: str, seeds: Sequence[int], deadline: Deadline) -> list[GeneratedImage]:
        """One generated image per seed."""
        return [self._generator.generate_one(prompt, k, seed, deadline, self._counter) for k, seed in enumerate(seeds)]

    def remark(self, prompt: str) -> str | None:
        """The generator's."""
        generator = self._generator
        return generator.remark(prompt) if isinstance(generator, RemarkingGenerator) else None


def _cost(source: Source, images: int) -> float | None:
    if source.price_usd is not None:
        return source.price_usd * images
    return None if source.external and images else 0.0
