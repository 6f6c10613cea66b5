"""`make bench-racing`: demo models that race, through the whole service, beside the same queries with a fixed budget.

Queries are images of test characters by each of the four demo models, generated here. Both jobs of a query have no
cache; they are submitted one after the other, so that seconds are those of a job alone.
"""

import io
import statistics
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attribution.build import Placement, build_generator
from attribution.catalog import load_catalog
from attribution.ports import Deadline
from devstack.stack import stack
from devstack.state import remove
from perf.chaos import retry
from perf.job_client import Job, attribute, connect
from perf.report import Requirement, finish
from zoo.captions import Split, sample

CHARACTERS = 10
SEED = 2026
SOURCES = ("zoo-dit", "zoo-lcm", "zoo-mmdit", "zoo-unet")
IMAGES_PER_SOURCE = 4
MOST_IMAGES = 0.6  # of those of a fixed budget


def queries() -> Iterator[tuple[str, bytes]]:
    """The source and the image of each query."""
    catalog = load_catalog([Path("sources")])
    for source in SOURCES:
        generator = build_generator(catalog.get(source), Placement())
        for number, face in enumerate(sample(Split.TEST, CHARACTERS, SEED)):
            image = generator.generate(face.caption, (SEED + number,), Deadline.after(120))[0].image
            buffer = io.BytesIO()
            image.save(buffer, "PNG")
            yield source, buffer.getvalue()


def images_of(job: Job) -> int:
    """How many images were generated."""
    return sum(len(source["seeds"]) for source in job["sources"])


def figures_of(jobs: list[tuple[str, Job]]) -> dict[str, Any]:
    """Images, accuracy, names and time of jobs with the right sources."""
    named = [source == job["result"]["verdict"]["source"] for source, job in jobs if job["result"]["verdict"]["source"]]
    return {
        "images": statistics.mean(images_of(job) for _, job in jobs),
        "right": statistics.mean(source == job["result"]["ranking"][0]["source"] for source, job in jobs),
        "named": len(named) / len(jobs),
        "named_rightly": statistics.mean(named) if named else None,
        "rounds": statistics.mean(len((job["result"].get("race") or {"rounds": [1]})["rounds"]) for _, job in jobs),
        "seconds": statistics.median(sum(job["timings"].values()) for _, job in jobs),
    }


def main() -> None:
    """Measures and prints."""
    asked = list(queries())
    found: dict[str, list[tuple[str, Job]]] = {"fixed": [], "racing": []}
    with TemporaryDirectory(prefix="racing-", ignore_cleanup_errors=True) as folder:
        state = Path(folder) / "state"
        with stack(state) as service:
            service.wait_until_warm()
            with connect(service, 60) as http:
                for source, image in asked:
                    for budget, jobs in found.items():
                        options = {"budget": budget, "cache": "false", "sources": ",".join(SOURCES)}
                        ask = partial(attribute, http, image, images_per_source=str(IMAGES_PER_SOURCE), **options)
                        job = retry(ask)
                        jobs.append((source, job))
                        first = job["result"]["ranking"][0]["source"]
                        seconds = sum(job["timings"].values())
                        print(budget, source, first, images_of(job), f"{seconds:.2f} s", flush=True)
        remove(state)
    by_budget = {budget: figures_of(jobs) for budget, jobs in found.items()}
    for budget, each in by_budget.items():
        print(budget, ", ".join(f"{name} {value:.3f}" for name, value in each.items() if value is not None))
    share = by_budget["racing"]["images"] / by_budget["fixed"]["images"]
    figures = {f"{budget}_{name}": value for budget, each in by_budget.items() for name, value in each.items()}
    wanted = [Requirement("images of a race, as a share", share, at_most=MOST_IMAGES)]
    finish("racing", {"queries": len(asked), **figures, "images_share": round(share, 3)}, wanted)


if __name__ == "__main__":
    main()
