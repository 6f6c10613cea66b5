"""`make bench-api`: the HTTP interface beside a bare FastAPI, from a thousand jobs to a million.

Everything is measured in turn in one run, on one API process, fsync on: POST of a 1024×1024 JPEG at concurrency 16;
polling from Redis, after it was emptied, and each job once from Postgres; listing; and ten
times the capacity.
"""

import io
import itertools
import json
import random
import socket
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import httpx
import numpy as np
import psycopg
import redis
from PIL import Image

from app.db.models import DEFAULT_TENANT, RESULT_SCHEMA_VERSION
from app.documents import RankedDocument, ResultDocument, VerdictDocument
from attribution.ports import Reason, VerdictKind
from devstack.stack import Stack
from perf.fakes import fake_service
from perf.job_client import authorization
from perf.load import LoadFigures, closed_loop, multipart, request
from perf.overload import overload
from perf.report import Requirement, finish

SOURCES = 10
_BATCH = 20_000


def seed(database_url: str, total: int) -> list[uuid.UUID]:
    """Adds finished jobs with ten sources each until there are `total`; returns a thousand ids, spread evenly."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        row = connection.execute("SELECT count(*) FROM jobs WHERE status = 'succeeded'").fetchone()
        have = row[0] if row else 0
        while have < total:
            some = min(_BATCH, total - have)
            given = {"first": have, "last": have + some - 1, "tenant": DEFAULT_TENANT, "result": json.dumps(_result())}
            connection.execute(_JOBS, given)
            have += some
        connection.execute("VACUUM ANALYZE jobs, job_sources")
        ids = connection.execute(
            "SELECT id FROM jobs WHERE external_id LIKE 'seed-%%' AND right(external_id, 3) = '007' LIMIT 1000"
            if total > 100_000
            else "SELECT id FROM jobs WHERE external_id LIKE 'seed-%%' LIMIT 1000"
        ).fetchall()
    return [job_id for (job_id,) in ids]


def _result() -> dict[str, object]:
    return ResultDocument(
        schema_version=RESULT_SCHEMA_VERSION,
        caption="a lighthouse on a rock at dusk, with a boat in front of it",
        captioner="blip@0123456789",
        embedder="open_clip:ViT-L-14-336@0123456789",
        distance="cosine",
        images_per_source=4,
        quorum=5,
        temperature=0.05,
        calibrated=False,
        ranking=[
            RankedDocument(
                source=f"source-{k}", family="bench", distance=0.2 + 0.03 * k, score=0.1, distances=[0.2 + 0.03 * k] * 4
            )
            for k in range(SOURCES)
        ],
        margin=0.03,
        verdict=VerdictDocument(kind=VerdictKind.INCONCLUSIVE, source=None, reason=Reason.UNCALIBRATED, threshold=None),
    ).model_dump(mode="json")


_JOBS = """
    WITH made AS (
        INSERT INTO jobs (tenant_id, status, stage, images_per_source, image, caption, captioner, embedder,
                          method_options, result, external_id, created_at, started_at, completed_at, deadline_at,
                          timings)
        SELECT %(tenant)s, 'succeeded', NULL, 4,
               '{"format": "JPEG", "width": 1024, "height": 1024, "frames": 1, "size": 200000,
                 "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}',
               'a lighthouse', 'blip@0123456789', 'open_clip@0123456789',
               '{"distance": "cosine", "aggregate": "mean"}', %(result)s::jsonb, 'seed-' || n,
               now() - make_interval(secs => n), now() - make_interval(secs => n),
               now() - make_interval(secs => n), now() - make_interval(secs => n), '{"screening": 0.01}'
        FROM generate_series(%(first)s::int, %(last)s::int) AS n
        RETURNING id, tenant_id, completed_at
    )
    INSERT INTO job_sources (job_id, tenant_id, position, source, family, platform, model, revision, queue,
                             timeout_seconds, state, generated_images, completed_at)
    SELECT made.id, made.tenant_id, k, 'source-' || k, 'bench', 'bench', 'model', '1', 'remote', 20, 'done',
           '[{"k": 0, "seed": 1, "blob": "a"}, {"k": 1, "seed": 2, "blob": "b"},
             {"k": 2, "seed": 3, "blob": "c"}, {"k": 3, "seed": 4, "blob": "d"}]',
           made.completed_at
    FROM made, generate_series(0, 9) AS k
"""


CONNECTIONS = 16
SECONDS = 4.0
ROUNDS = 5
SIZES = (1_000, 1_000_000)
POST_BOUND, POLL_BOUND = 0.6, 0.7
FLAT_RATE, FLAT_P99 = 1.25, 1.5
UNLIMITED = "1000000000"


def photographs(count: int = 32) -> list[bytes]:
    """JPEGs of 1024×1024, soft with some grain, as photographs and generated images are; all different."""
    files = []
    for number in range(count):
        dice = np.random.default_rng(number)
        soft = Image.fromarray(dice.integers(0, 256, (24, 24, 3), dtype=np.uint8)).resize((1024, 1024), 3)
        grain = dice.normal(0, 4, (1024, 1024, 1))
        image = Image.fromarray(np.clip(np.asarray(soft) + grain, 0, 255).astype(np.uint8))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=90)
        files.append(buffer.getvalue())
    return files


def distinct_uploads(images: Sequence[bytes], headers: dict[str, str], path: str = "/attribute") -> Iterator[bytes]:
    """Uploads of the images in turn, each with another suffix and size, so that no file is sent twice.

    The service neither decodes nor stores a known file again.
    """
    for number, image in enumerate(itertools.cycle(images)):
        yield multipart(b"%s%08d%s" % (image, number, bytes(number * 7 % 4096)), headers, path)


@contextmanager
def bare(service: Stack) -> Iterator[int]:
    """The reference application, run like the API; its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = ("--host", "127.0.0.1", "--port", str(port), "--no-access-log", "--log-level", "warning")
    process = subprocess.Popen([sys.executable, "-m", "uvicorn", "perf.bare:app", *arguments], env=service.environment)  # noqa: S603 - our own words
    try:
        _until_it_listens(port)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def _until_it_listens(port: int) -> None:
    for _ in range(200):
        try:
            closed_loop(port, iter([request("GET", "/docs")]), 1, 1)
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the bare app did not start")


Measure = Callable[[], LoadFigures]


def beside(ours: Measure, theirs: Measure, rounds: int = ROUNDS) -> tuple[float, float, float]:
    """Median rates of both, and the median of their ratios, measured in turn after one round to warm up."""
    ours(), theirs()
    pairs = [(_clean(ours()).rate, _clean(theirs()).rate) for _ in range(rounds)]
    return (
        statistics.median(our for our, _ in pairs),
        statistics.median(their for _, their in pairs),
        statistics.median(our / their for our, their in pairs),
    )


def _clean(load: LoadFigures) -> LoadFigures:
    """The load, if all answers have the expected status. Raises RuntimeError."""
    if not set(load.statuses) <= {200, 202}:
        raise RuntimeError(f"answers other than 200 and 202: {dict(load.statuses)}")
    return load


class PollingFigures:
    """Polling of jobs with these ids."""

    def __init__(self, service: Stack, bare_port: int, key: dict[str, str], ids: Sequence[uuid.UUID]) -> None:
        self._port, self._bare = httpx.URL(service.base_url).port or 0, bare_port
        self._key = key
        self._redis = redis.Redis.from_url(service.servers.redis_url)
        self._requests = [request("GET", f"/attribute/{job_id}", key) for job_id in ids]
        random.Random(1).shuffle(self._requests)

    def from_redis(self) -> LoadFigures:
        """The same few jobs again and again."""
        return closed_loop(self._port, itertools.cycle(self._requests[:CONNECTIONS]), CONNECTIONS, SECONDS)

    def emptied(self) -> LoadFigures:
        """The same, after Redis has lost everything."""
        self._redis.flushdb()
        return self.from_redis()

    def from_postgres(self) -> LoadFigures:
        """Each job once, none of them in Redis."""
        self._redis.flushdb()
        return closed_loop(self._port, iter(self._requests), CONNECTIONS, 60)

    def bare(self) -> LoadFigures:
        """As many bytes from Redis, nothing else."""
        self._redis.set("document", b"x" * 6_000)
        return closed_loop(
            self._bare, itertools.repeat(request("GET", "/answer/document", self._key)), CONNECTIONS, SECONDS
        )


def listing(port: int, key: dict[str, str]) -> float:
    """The median of p99s of listing: first pages, deep pages, and filters, in seconds."""
    moments = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - age)) for age in (10, 500, 900)]
    paths = [
        "/attribute?limit=20",
        "/attribute?limit=20&status=succeeded",
        "/attribute?limit=20&status=failed",
        "/attribute?limit=20&external_id=seed-500",
        *(f"/attribute?limit=20&created_before={moment}" for moment in moments),
    ]
    requests = [request("GET", path, key) for path in paths]
    loads = [_clean(closed_loop(port, itertools.cycle(requests), 4, SECONDS)) for _ in range(ROUNDS)]
    return statistics.median(load.percentile(99) for load in loads)


def main() -> None:
    """Measures and prints."""
    environment = {
        "ACCESS__REQUESTS_PER_MINUTE": UNLIMITED,
        "ACCESS__CONCURRENT_JOBS": UNLIMITED,
        "JOB__MAX_OPEN": UNLIMITED,
        "JOB__MAX_WAITING": "1000000",
        "JOB__DEADLINE": "1000000",
    }
    figures: dict[str, float] = {}
    requirements: list[Requirement] = []
    with fake_service({"one": ""}, workers={}, environment=environment) as service, bare(service) as bare_port:
        key = authorization(service)
        port = httpx.URL(service.base_url).port or 0
        images = photographs()
        posts = distinct_uploads(images, key)
        uploads = distinct_uploads(images, key, "/upload")
        ours, theirs, ratio = beside(
            lambda: closed_loop(port, posts, CONNECTIONS, SECONDS),
            lambda: closed_loop(bare_port, uploads, CONNECTIONS, SECONDS),
        )
        figures |= {"post_per_s": ours, "bare_upload_per_s": theirs, "post_ratio": ratio}
        requirements.append(Requirement("POST beside a bare upload-and-decode", ratio, at_least=POST_BOUND))
        print(f"POST: {ours:.0f}/s, bare {theirs:.0f}/s, ratio {ratio:.2f}")
        by_size: dict[str, list[float]] = {}
        for size in SIZES:
            started = time.perf_counter()
            polling = PollingFigures(service, bare_port, key, seed(service.servers.database_url, size))
            print(f"{size:,} jobs after {time.perf_counter() - started:.0f} s")
            for name, measure in (
                ("poll", polling.from_redis),
                ("poll_emptied", polling.emptied),
                ("poll_postgres", polling.from_postgres),
            ):
                ours, theirs, ratio = beside(measure, polling.bare)
                print(f"{name}: {ours:.0f}/s, bare {theirs:.0f}/s, ratio {ratio:.2f}")
                figures |= {f"{name}_per_s_{size}": ours, f"{name}_ratio_{size}": ratio}
                by_size.setdefault(name, []).append(ratio)
                if (
                    name != "poll_postgres"
                ):  # a job that is not in Redis has no bound, it must only not depend on their number
                    requirements.append(
                        Requirement(f"{name} beside a bare GET, {size:,} jobs", ratio, at_least=POLL_BOUND)
                    )
            figures[f"listing_p99_ms_{size}"] = 1000 * listing(port, key)
            print(f"listing: p99 {figures[f'listing_p99_ms_{size}']:.1f} ms")
    # Ratios to the reference are compared, so that other load of the host does not look like a trend.
    requirements += [
        Requirement(f"{name}: slower with more jobs", few / many, FLAT_RATE) for name, (few, many) in by_size.items()
    ]
    few, many = (figures[f"listing_p99_ms_{size}"] for size in SIZES)
    requirements.append(Requirement("listing's p99: slower with more jobs", many / few, FLAT_P99))
    more_figures, more_requirements = overload()
    figures |= more_figures
    finish("api", {name: round(value, 3) for name, value in figures.items()}, requirements + more_requirements)


if __name__ == "__main__":
    main()
