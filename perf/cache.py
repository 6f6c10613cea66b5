"""`make bench-cache`: the same file again, and a recompressed copy, are answered a hundred times faster than the first.

A copy is captioned and embedded, only generation is saved. The requirement holds for fourteen sources that take from
half a second to eight, as vendors do. The demo models, a quarter of a second each, are measured without a requirement:
a hundredth of their time is a single commit and a few round trips.

The service is warmed up first: statements that ran five times on a connection are prepared, and the first answer of a
service that has just started takes twice as long as later ones.
"""

import io
import statistics
import time

import httpx
from PIL import Image

from perf.chaos import zoo_service
from perf.fakes import fake_service
from perf.job_client import attribute, connect, face
from perf.report import Requirement, finish

ROUNDS = 5
WARM = 3  # rounds before
AGAIN = 10  # uploads of the same file in each of those
IMAGES_PER_SOURCE = 4
VENDORS = {f"vendor-{k:02}": f"sleep_seconds = {0.5 + 7.5 * k / 13:.2f}" for k in range(14)}
BOUND = 100.0
COLD, SAME, COPY = "cold", "same file", "copy"


def recompressed(image: bytes) -> bytes:
    """The image as a JPEG, as a platform would make it of an upload."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(image)).convert("RGB").save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def measure(http: httpx.Client) -> tuple[dict[str, float], int]:
    """Median seconds until a job's end, and the number of copies that needed no generation."""
    times: dict[str, list[float]] = {COLD: [], SAME: [], COPY: []}
    reused = 0

    def timed(name: str, image: bytes, seed: int) -> str | None:
        started = time.perf_counter()
        job = attribute(http, image, images_per_source=str(IMAGES_PER_SOURCE), seed=str(seed))
        times[name].append(time.perf_counter() - started)
        assert job["status"] == "succeeded", job
        cached: str | None = job["cached"]
        return cached

    for number in range(-WARM, ROUNDS):
        image, seed = face(number, 512), number + WARM
        assert timed(COLD, image, seed) is None
        for _ in range(AGAIN if number < 0 else 1):
            assert timed(SAME, image, seed) == "answer"
        if timed(COPY, recompressed(image), seed) == "generated_images":
            reused += 1
        else:  # the captioner gave another caption, which must be generated
            times[COPY].pop()
        if number < 0:
            reused = 0
            for each in times.values():
                each.clear()
    return {name: statistics.median(each) for name, each in times.items()}, reused


def main() -> None:
    """Measures and prints."""
    figures: dict[str, float] = {}
    requirements = []
    for kind in ("vendors", "zoo"):
        with fake_service(VENDORS) if kind == "vendors" else zoo_service() as service, connect(service, 60) as http:
            seconds, reused = measure(http)
        for name, each in seconds.items():
            print(f"{kind}, {name}: {1000 * each:.1f} ms")
            figures[f"{kind}_{name.replace(' ', '_')}_ms"] = round(1000 * each, 1)
        figures[f"{kind}_copies_reused"] = reused
        for again in (SAME, COPY):
            faster = seconds[COLD] / seconds[again]
            figures[f"{kind}_{again.replace(' ', '_')}_times_faster"] = round(faster, 1)
            print(f"{kind}, {again}: {faster:.0f} times faster")
            if kind == "vendors":
                requirements.append(Requirement(f"{again}, times faster", faster, at_least=BOUND))
        print(f"{kind}: {reused} of {ROUNDS} copies needed no generation")
    finish("cache", {"rounds": ROUNDS, **figures}, requirements)


if __name__ == "__main__":
    main()
