"""Cached images: which jobs use them, for how long, and what remains when a job is deleted."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import insert, select, text, update
from sqlalchemy.orm import Session

from app.db import blob_repository
from app.db.database import Database
from app.db.models import DEFAULT_TENANT, BlobReference, Job, JobSource, JobStatus, Stage, Tenant, WebhookDelivery
from app.jobs import source_repository
from app.jobs.deletion import delete_job
from app.queue.steps import RESYNTHESIZE_TASK, QueuedStep
from app.telemetry.metrics import CACHE_REQUESTS, EMBEDDING_BATCH, GENERATOR_REQUESTS
from app.webhooks import endpoints
from app.webhooks.events import EventType
from tests.app.images import marked
from tests.workers.harness import Bench
from workers.sweep import delete_expired, evict

Make = Callable[..., Bench]
TWO = {"a": "", "b": ""}
OTHER = uuid.UUID("00000000-0000-7000-8000-000000000002")
# The fake captioner calls all of these red.
RED, REDDER, REDDEST = (200, 40, 40), (210, 40, 40), (220, 40, 40)


def grainy() -> Image.Image:
    """An image that gets the same caption, and other features."""
    image = marked(RED)
    noise = np.random.default_rng(1).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    image.paste(Image.fromarray(noise))
    return image


def calls() -> float:
    """How often sources have been called."""
    return sum(each.value for metric in GENERATOR_REQUESTS.collect() for each in metric.samples)


def embedded() -> float:
    """How many images have been embedded."""
    return next(each.value for metric in EMBEDDING_BATCH.collect() for each in metric.samples if "_sum" in each.name)


def hits() -> float:
    """How many generated images were found in the cache."""
    return CACHE_REQUESTS.labels("generated_image", "hit")._value.get()


def drop(here: Bench, job_id: uuid.UUID) -> None:
    """Deletes a job as its caller does."""
    assert delete_job(
        here.process.storage.database,
        here.process.storage.blobs,
        here.process.storage.snapshots,
        DEFAULT_TENANT,
        job_id,
        "test",
    )


def generated(here: Bench, **options: Any) -> tuple[uuid.UUID, float]:
    """A job that has succeeded, and how often sources were called for it."""
    before = calls()
    job_id = here.submit(**options)
    here.run()
    assert here.job(job_id).status == JobStatus.SUCCEEDED
    return job_id, calls() - before


def is_resynthesis(step: QueuedStep) -> bool:
    """Whether a message has sources generated."""
    return step.task == RESYNTHESIZE_TASK


def test_cached_images_are_not_generated_again(bench: Make) -> None:
    """Another image of the same caption: no source has a message, the images are the same, the distances its own."""
    here = bench(TWO)
    first, times = generated(here, color=RED)
    assert times == 2
    found, looked_at = hits(), embedded()
    second = here.submit(image=grainy())
    here.run(until=is_resynthesis)
    assert not here.broker.steps
    assert hits() - found == 4
    assert embedded() - looked_at == 1  # the query
    one, two = here.document(first), here.document(second)
    assert one.result is not None
    assert two.result is not None
    assert (one.cached, two.cached, two.cached_from) == (None, "generated_images", None)
    assert [each.cached for each in one.sources] == [False, False]
    assert [each.cached for each in two.sources] == [True, True]
    assert [each.seeds for each in one.sources] == [each.seeds for each in two.sources]
    assert {each.blob for row in here.sources(first).values() for each in row.generated_images} == {
        each.blob for row in here.sources(second).values() for each in row.generated_images
    }
    assert [each.distances for each in one.result.ranking] != [each.distances for each in two.result.ranking]
    compared, times = generated(here, color=RED, method_options={"distance": "hybrid", "aggregate": "max"})
    assert times == 0  # the generated images are the same, whatever they are compared by
    assert here.document(compared).result.distance == "hybrid"
    third, _ = generated(here, image=grainy(), cache=False)
    apart = {each.source: each.distances for each in here.document(third).result.ranking}
    for each in two.result.ranking:
        assert each.distances == pytest.approx(apart[each.source], abs=1e-6)


def test_missing_images_are_generated(bench: Make) -> None:
    """With more images per source the cached ones keep their k; the source is not `cached` then."""
    here = bench(TWO)
    few, _ = generated(here, images_per_source=2)
    many, times = generated(here, images_per_source=4)
    assert times == 2
    for source, row in here.sources(many).items():
        assert [each.k for each in row.generated_images] == [0, 1, 2, 3]
        assert [each.blob for each in row.generated_images[:2]] == [
            each.blob for each in here.sources(few)[source].generated_images
        ]
        assert [each.generated_at is not None for each in row.generated_images] == [True, True, False, False]
    assert here.document(many).cached is None
    assert not any(each.cached for each in here.document(many).sources)
    again, times = generated(here, images_per_source=3)
    assert times == 0
    assert here.document(again).cached == "generated_images"


@pytest.mark.parametrize("differs", [{"seed": 1}, {"prompt": "something else"}, {"cache": False}])
def test_another_key_is_generated(bench: Make, differs: dict[str, Any]) -> None:
    """A job that uses nothing from the cache adds nothing to it."""
    here = bench(TWO)
    generated(here)
    assert generated(here, **differs)[1] == 2
    assert generated(here, **differs)[1] == (2 if differs == {"cache": False} else 0)


def test_another_revision_or_parameter_is_another_key(bench: Make, tmp_path: Path) -> None:
    """The key has the catalog's entry with which the job was accepted."""
    here = bench(TWO)
    generated(here)
    changed = bench({"a": "size = 32", "b": ""})
    job_id, times = generated(changed)
    assert times == 1
    assert not changed.document(job_id).sources[0].cached
    assert changed.document(job_id).sources[1].cached


def test_without_a_cache_every_image_is_generated(bench: Make) -> None:
    """The setting disables all of it."""
    here = bench(TWO, cache={"enabled": False})
    generated(here)
    assert generated(here)[1] == 2
    with here.process.storage.database.transaction() as session:
        assert set(session.scalars(select(BlobReference.cache_key))) == {None}


def test_a_source_that_waited_is_looked_up_again(bench: Make) -> None:
    """Two jobs of one caption wait for the same device: the second uses the images that the first generated."""
    here = bench(TWO, platform="local")
    first, second = here.submit(color=RED), here.submit(color=REDDER)
    here.run(until=is_resynthesis)
    while not is_resynthesis(here.broker.steps[-1]):
        here.broker.steps.rotate(-1)
        here.run(until=is_resynthesis)
    before = calls()
    here.pass_time(1)
    here.run()
    assert calls() - before == 2
    assert {here.document(first).cached, here.document(second).cached} == {None, "generated_images"}


def test_a_refusal_is_not_cached(bench: Make) -> None:
    """The next job calls a source that refused, and uses the cached images of the others."""
    here = bench({"a": "", "b": 'fail = "refused_prompt"'})
    generated(here)
    job_id, times = generated(here)
    assert times == 1
    assert [each.cached for each in here.document(job_id).sources] == [True, False]
    assert here.document(job_id).cached == "generated_images"


def test_an_entry_lasts_as_long_as_a_job_that_used_it(bench: Make) -> None:
    """The job that generated an image may be deleted first; with the last job its bytes and its key are deleted."""
    here = bench(TWO)
    first, _ = generated(here, color=RED)
    second, _ = generated(here, color=REDDER)
    drop(here, first)
    looked_at = embedded()
    third, times = generated(here, color=REDDEST)
    assert times == 0
    assert embedded() - looked_at == 1  # the second one has the vectors, too
    drop(here, second)
    drop(here, third)
    assert here.stored() == set()
    with here.process.storage.database.transaction() as session:
        assert session.scalars(select(BlobReference)).all() == []
    assert generated(here)[1] == 2


def test_the_same_bytes_under_another_key_do_not_keep_an_entry(bench: Make) -> None:
    """A deleted job's key is deleted even if another job uses the same bytes."""
    here = bench(TWO)
    first, _ = generated(here)
    other, _ = generated(here, cache=False)
    assert {each.blob for row in here.sources(first).values() for each in row.generated_images} == {
        each.blob for row in here.sources(other).values() for each in row.generated_images
    }
    drop(here, first)
    assert generated(here)[1] == 2


def test_features_that_were_deleted_with_their_job_are_computed_again(bench: Make) -> None:
    """The images are cached, their vectors are not: they are embedded with the query image."""
    here = bench(TWO)
    first, _ = generated(here)
    with here.process.storage.database.transaction() as session:
        session.execute(update(Job).where(Job.id == first).values(features_blob=None))
    looked_at = embedded()
    second, times = generated(here, color=REDDER)
    assert (times, embedded() - looked_at) == (0, 5)
    assert here.document(second).cached == "generated_images"


@pytest.mark.parametrize("deleted", ["images", "captions"])
def test_retention_removes_images_from_the_cache(bench: Make, deleted: str) -> None:
    """Neither pixels nor the key, which was made of a caption, outlast the tenant's retention."""
    never = timedelta(days=10_000)
    spans: dict[str, Any] = {"images": never, "captions": never, "results": never} | {deleted: timedelta(minutes=1)}
    here = bench(TWO, retention=spans)
    first, _ = generated(here)
    with here.process.storage.database.transaction() as session:
        session.execute(update(Job).where(Job.id == first).values(completed_at=Job.completed_at - timedelta(minutes=2)))
    delete_expired(here.process.storage, here.process.settings.retention)
    assert generated(here)[1] == 2


def test_an_expired_image_is_generated_again(bench: Make) -> None:
    """Its age counts from when it was generated, however often it was used; eviction deletes its key."""
    here = bench(TWO, cache={"ttl": timedelta(hours=1)})
    generated(here)
    age(here, timedelta(minutes=40))
    assert generated(here)[1] == 0
    age(here, timedelta(minutes=40))
    evict(here.process.storage)
    with here.process.storage.database.transaction() as session:
        assert set(session.scalars(select(BlobReference.cache_key))) == {None}
    assert generated(here)[1] == 2
    age(here, timedelta(minutes=70))
    assert generated(here)[1] == 2


def age(here: Bench, by: timedelta) -> None:
    """Makes all generated images older."""
    with here.process.storage.database.transaction() as session:
        session.execute(update(BlobReference).values(generated_at=BlobReference.generated_at - by))


@pytest.mark.parametrize("bound", ["max_entries", "max_bytes"])
def test_the_least_recently_used_are_evicted_first(bench: Make, bound: str) -> None:
    """With room for two jobs' images those that were not used again are evicted; their job keeps them."""
    here = bench({"a": ""})
    green, blue = (30, 160, 60), (30, 60, 220)
    kept = [generated(here, color=color)[0] for color in (RED, green, blue)]
    generated(here, color=REDDER)
    room = 4
    if bound == "max_bytes":
        with here.process.storage.database.transaction() as session:
            sizes = (
                "SELECT sum(size) FROM blobs WHERE sha256 IN (SELECT sha256 FROM blob_references WHERE role LIKE 'a/%'"
            )
            ids = {"red": kept[0], "blue": kept[2]}
            room = session.execute(text(f"{sizes} AND job_id IN (:red, :blue))"), ids).scalar_one()
    object.__setattr__(
        here.process.storage, "cache_settings", here.process.settings.cache.model_copy(update={bound: room})
    )
    evict(here.process.storage)
    assert [generated(here, color=color)[1] for color in (blue, REDDEST)] == [0, 0]
    assert generated(here, color=green)[1] == 1
    row = here.sources(kept[1])["a"]
    assert all(here.process.storage.blobs.exists(DEFAULT_TENANT, each.blob) for each in row.generated_images)


@pytest.mark.parametrize("shared", [False, True])
def test_tenants_share_only_where_that_is_enabled(bench: Make, shared: bool) -> None:
    """Each tenant has a copy: deleting one's job keeps the other's images, and the result names no foreign job."""
    here = bench(TWO, cache={"shared": shared})
    with here.process.storage.database.transaction() as session:
        session.execute(insert(Tenant).values(id=OTHER, name="other"))
    first, _ = generated(here)
    before = calls()
    theirs = submit_for(here, OTHER)
    here.run()
    assert calls() - before == (0 if shared else 2)
    drop(here, first)
    with here.process.storage.database.transaction() as session:
        job = session.get_one(Job, theirs)
        rows = source_repository.list_for_job(session, theirs)
        assert job.status == JobStatus.SUCCEEDED
        assert str(first) not in repr([job.result, [row.generated_images for row in rows]])
        for row in rows:
            assert [(each.generated_at is not None) for each in row.generated_images] == [shared, shared]
            assert all(here.process.storage.blobs.exists(OTHER, each.blob) for each in row.generated_images)
        assert {tenant_id for tenant_id, _ in here.stored()} == {OTHER}


def submit_for(here: Bench, tenant_id: uuid.UUID) -> uuid.UUID:
    """A job of another tenant, over the same image."""
    job_id = here.submit()
    with here.process.storage.database.transaction() as session:
        moved = update(Job).where(Job.id == job_id).values(tenant_id=tenant_id).returning(Job.image)
        data = here.process.storage.blobs.get(DEFAULT_TENANT, (session.scalars(moved).one() or {})["sha256"])
        session.execute(update(JobSource).where(JobSource.job_id == job_id).values(tenant_id=tenant_id))
        session.execute(text("DELETE FROM blob_references WHERE job_id = :id"), {"id": job_id})
        blob_repository.insert_references(
            session, job_id, {"original": here.process.storage.blobs.put(tenant_id, data, "image/png")}
        )
    return job_id


def test_cached_images_are_notified_like_generated_ones(bench: Make) -> None:
    """Each source has ended, and so has the job, in the order and count of any other job."""
    here = bench(TWO)
    with here.process.storage.database.transaction() as session:
        endpoints.insert_endpoint(session, DEFAULT_TENANT, "https://receiver.example/", list(EventType), None)

    def delivered(job_id: uuid.UUID) -> list[tuple[str, int]]:
        with here.process.storage.database.transaction() as session:
            rows = session.scalars(
                select(WebhookDelivery).where(WebhookDelivery.job_id == job_id).order_by(WebhookDelivery.sequence)
            )
            return [(row.type, row.sequence) for row in rows]

    def until(step: QueuedStep) -> bool:
        return step.task == "workers.notify"

    first = here.submit()
    second = None
    for _ in range(60):
        here.run(until=until)
        if here.broker.steps:
            here.broker.steps.popleft()  # nothing listens there
        elif second is None:
            second = here.submit(color=REDDER)
    assert second is not None
    assert here.document(second).cached == "generated_images"
    assert delivered(second) == delivered(first)
    assert [name for name, _ in delivered(second)] == [
        "attribution.started",
        "attribution.source_finished",
        "attribution.source_finished",
        "attribution.completed",
    ]


def test_deleting_and_using_at_once_never_loses_a_used_image(bench: Make) -> None:
    """In a hundred races a job is deleted while another is about to use its images; whichever wins, none is lost."""
    here = bench(TWO)
    won = set()
    with ThreadPoolExecutor(2) as threads:
        for turn in range(100):
            first, _ = generated(here, seed=turn)
            second = here.submit(color=REDDER, seed=turn)
            here.run(until=lambda step: step.task == "workers.caption")
            start = Barrier(2)

            def delete_first(first: uuid.UUID = first, start: Barrier = start) -> None:
                start.wait()
                drop(here, first)

            def use(start: Barrier = start) -> None:
                start.wait()
                here.run()

            for future in [threads.submit(delete_first), threads.submit(use)]:
                future.result()
            assert here.job(second).status == JobStatus.SUCCEEDED
            won.add(here.document(second).cached)
            for row in here.sources(second).values():
                assert len(row.generated_images) == 2
                for each in row.generated_images:
                    assert here.process.storage.blobs.exists(DEFAULT_TENANT, each.blob)
            drop(here, second)
            assert here.stored() == set()
    assert won >= {"generated_images"}


class Deleting(Database):
    """A database that deletes a job just before another job's first transaction after the look-up of cached images."""

    def __init__(self, here: Bench, finding: uuid.UUID, generated: uuid.UUID) -> None:
        super().__init__(here.process.storage.database.engine)
        self.done = False
        self._here, self._finding, self._generated = here, finding, generated
        self._real = here.process.storage.database

    @contextmanager
    def transaction(self, *, durable: bool = True, limit: float | None = None) -> Iterator[Session]:
        """Deletes first, once, where the job is being resynthesized."""
        if not self.done and self._is_being_resynthesized():
            self.done = True
            drop(self._here, self._generated)
        with self._real.transaction(durable=durable, limit=limit) as session:
            yield session

    def _is_being_resynthesized(self) -> bool:
        with self._real.statement() as session:
            return session.scalar(select(Job.stage).where(Job.id == self._finding)) == Stage.RESYNTHESIZING


@pytest.mark.parametrize("late", [False, True])
def test_an_image_deleted_between_look_up_and_use_is_generated(bench: Make, late: bool) -> None:
    """The transaction that would use it is rolled back, at fan-out or at the claim, and the sources are called."""
    here = bench(TWO, platform="local")
    first, _ = generated(here)
    second = here.submit(color=REDDER)
    real = here.process.storage.database
    if late:  # at fan-out there was nothing to be found yet
        with real.transaction() as session:
            keys = dict(session.execute(select(BlobReference.role, BlobReference.cache_key)).all())
            session.execute(update(BlobReference).values(cache_key=None))
        here.run(until=is_resynthesis)
        with real.transaction() as session:
            for role, key in keys.items():
                session.execute(update(BlobReference).where(BlobReference.role == role).values(cache_key=key))
        here.pass_time(1)
    deleting = Deleting(here, second, first)
    object.__setattr__(here.process.storage, "database", deleting)
    before = calls()
    here.run()
    object.__setattr__(here.process.storage, "database", real)
    assert deleting.done
    assert calls() - before == 2
    document = here.document(second)
    assert (document.status, document.cached) == (JobStatus.SUCCEEDED, None)
    drop(here, second)
    assert here.stored() == set()
