"""`make simulate`: how many workers of what for 1, 100 and 10,000 images an hour, simulated (`perf.fleet`).

Four local sources as large as SDXL, at 4 s an image, and two vendors at 60 calls a minute; γ = 4. What is assumed
besides, no GPU having been there to measure it, are the constants below. Prints the table of docs/kubernetes.md.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil

from perf.fleet import FleetOutcome, LocalPool, SimulatedFleet, VendorLimits, simulate

IMAGE_SECONDS, IMAGES_PER_SOURCE = 4.0, 4
LOCAL = tuple(f"local-{number}" for number in range(1, 5))
VENDOR = VendorLimits(seconds=8.0, per_minute=60, usd=0.04)
# Assumed: weights from a local disk, a captioner and an embedder on a GPU, and the rent of a GPU.
LOAD_SECONDS, CAPTION_SECONDS, EMBED_SECONDS, USD_PER_HOUR = 20.0, 1.0, 0.02, 2.0
WAIT_BOUND = 300.0  # seconds within which 19 of 20 jobs are to be answered
USE_BOUND = 0.9  # busier workers wait for no luck
_JOBS = 400  # of a row that is not larger; of a larger one, those of an hour
HEAD = (
    "| images an hour | GPUs for sources | caption, embed | vendors | p50 | p95 | cut off at the deadline "
    "| GPUs busy | an image costs |\n|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True, slots=True)
class FleetRow:
    """A row of the table: images an hour, γ, and how the sources share GPUs."""

    rate: int
    shared: bool = False  # all local sources on the same GPUs, each loaded when its turn comes
    per_minute: int = 60
    images: int = IMAGES_PER_SOURCE


ROWS = (
    FleetRow(1, shared=True),
    FleetRow(100, shared=True),
    FleetRow(100),
    FleetRow(10_000, per_minute=700),
    FleetRow(10_000, per_minute=60),
    FleetRow(10_000, per_minute=180, images=1),
)


def poisson(rate: int, jobs: int, seed: int = 1) -> list[float]:
    """When jobs arrive, independently of each other."""
    dice, at, arrivals = random.Random(seed), 0.0, []
    for _ in range(jobs):
        at += dice.expovariate(rate / 3600)
        arrivals.append(at)
    return arrivals


def fleet_of(row: FleetRow, workers: int) -> SimulatedFleet:
    """That many GPUs for all local sources, or for each of them."""
    groups = [LOCAL] if row.shared else [(source,) for source in LOCAL]
    images = len(LOCAL) * row.images + 2 * row.images + 1
    return SimulatedFleet(
        pools=[
            LocalPool(
                dict.fromkeys(group, IMAGE_SECONDS), workers, load_seconds=LOAD_SECONDS, usd_per_hour=USD_PER_HOUR
            )
            for group in groups
        ],
        vendors=dict.fromkeys(("vendor-1", "vendor-2"), replace(VENDOR, per_minute=row.per_minute)),
        captioners=_enough(row.rate * CAPTION_SECONDS),
        caption_seconds=CAPTION_SECONDS,
        embedders=_enough(row.rate * images * EMBED_SECONDS),
        embed_seconds=EMBED_SECONDS,
        overhead_seconds=0.1,
    )


def _enough(seconds_an_hour: float) -> int:
    return max(1, ceil(seconds_an_hour / 3600 / 0.7))


def smallest(row: FleetRow) -> tuple[SimulatedFleet, FleetOutcome]:
    """The fewest GPUs with which 19 of 20 jobs are answered in time, as far as GPUs decide that."""
    arrivals = poisson(row.rate, max(_JOBS, row.rate))
    sources = len(LOCAL) if row.shared else 1
    workers = max(1, ceil(row.rate * row.images * IMAGE_SECONDS * sources / 3600 / USE_BOUND))
    while True:
        fleet = fleet_of(row, workers)
        # Vendors have limits that no worker changes: without them, to judge the GPUs.
        judged = simulate(replace(fleet, vendors={}), arrivals, row.images)
        if judged.p95 <= WAIT_BOUND and not judged.short:
            return fleet, simulate(fleet, arrivals, row.images)
        workers += 1


def table(rows: Sequence[FleetRow] = ROWS) -> Iterator[str]:
    """The lines of the table."""
    yield HEAD
    for row in rows:
        fleet, found = smallest(row)
        workers = fleet.pools[0].workers
        rate = f"{row.rate:,}" if row.images == IMAGES_PER_SOURCE else f"{row.rate:,}, γ = {row.images}"
        gpus = f"{workers}, shared by {len(LOCAL)}" if row.shared else f"{workers} × {len(LOCAL)}"
        yield (
            f"| {rate} | {gpus} | {fleet.captioners}, {fleet.embedders} | {row.per_minute} a minute "
            f"| {found.p50:.0f} s | {found.p95:.0f} s | {100 * found.short:.0f} % "
            f"| {100 * sum(found.use) / len(found.use):.0f} % | ${found.usd:.2f} |"
        )


def main() -> None:
    """Prints the table."""
    for line in table():
        print(line, flush=True)


if __name__ == "__main__":
    main()
