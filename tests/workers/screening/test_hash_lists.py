"""Images on a hash list are stopped, edited or not; others pass; and changes of a list reach a running worker."""

import io
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from app.db.blobs import Address, Blobs
from app.db.database import Database, connect
from app.db.models import DEFAULT_TENANT, JobStatus
from app.errors import StorageUnavailable
from app.screening import repository as store
from app.settings import DatabaseSettings
from tests.workers.screening.conftest import Screened, noise_image, pdq
from workers.screening import QueryImage
from workers.screening.hash_lists import HashLists, hash_variants, matches
from workers.sweep import delete_expired


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    """The image after a round through JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


EDITS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "nothing": lambda image: image,
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "twice the size": lambda image: image.resize((image.width * 2, image.height * 2)),
    "JPEG 30": lambda image: as_jpeg(image, 30),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "flipped": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "turned": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "turned and flipped, as JPEG": lambda image: as_jpeg(
        ImageOps.mirror(image.transpose(Image.Transpose.ROTATE_270)), 60
    ),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_a_listed_image_and_its_edits_are_stopped(
    screened: Screened, edit: Callable[[Image.Image], Image.Image]
) -> None:
    """Whatever was done to it mildly, the job ends before any source hears of it, and nothing of it stays."""
    screened.ban(noise_image(1), noise_image(2))
    job = screened.ended(edit(noise_image(1)), prompt="a secret")
    screened.assert_refused(job, "hash_list", "banned")
    assert screened.files() == []


def test_an_unrelated_image_passes(screened: Screened) -> None:
    """A list stops what is on it, and nothing else."""
    screened.ban(*map(noise_image, range(10)))
    assert screened.ended(noise_image(77)).status == JobStatus.SUCCEEDED


def test_a_caption_is_kept_where_screening_passes(screened: Screened) -> None:
    """What a screened job loses, others keep: or the test above could not fail."""
    job = screened.ended(noise_image(77), prompt="a secret")
    assert (job.prompt, job.evidence) == ("a secret", {"findings": []})
    assert len(screened.files()) > 2


def test_the_distance_of_a_list_is_its_own(screened: Screened) -> None:
    """A hash at a distance of `max_distance` bits is a hit; one more bit, and it is none."""
    flipped = np.unpackbits(np.frombuffer(pdq(noise_image(1)), np.uint8))
    flipped[:20] ^= 1
    distant = np.packbits(flipped).tobytes()
    screened.ban_hashes([distant], "near", max_distance=19)
    assert screened.ended(noise_image(1)).status == JobStatus.SUCCEEDED
    screened.ban_hashes([distant], "near", max_distance=20)
    screened.assert_refused(screened.ended(noise_image(1)), "hash_list", "near")


def test_an_image_without_features_is_on_no_list(screened: Screened) -> None:
    """A flat image's hash is chance: it meets no list, not even one with that very hash."""
    flat = Image.new("RGB", (64, 64), (90, 90, 90))
    assert hash_variants(flat).shape == (4, 0)
    screened.ban_hashes([bytes(32)], "zeros", max_distance=64)
    assert screened.ended(flat).status == JobStatus.SUCCEEDED


def test_a_tenants_list_is_for_its_own_images(screened: Screened) -> None:
    """Another tenant's image passes; a global list applies to all tenants."""
    other = screened.tenant("other")
    screened.ban(noise_image(1), name="ours", tenant_id=DEFAULT_TENANT)
    screened.assert_refused(screened.ended(noise_image(1)), "hash_list", "ours")
    assert screened.ended(noise_image(1), other).status == JobStatus.SUCCEEDED
    screened.ban(noise_image(1), name="all-tenants")
    screened.assert_refused(screened.ended(noise_image(1), other), "hash_list", "all-tenants")


def test_only_the_refused_jobs_pixels_go(screened: Screened) -> None:
    """The same image in a tenant whose list does not have it stays where it is."""
    other = screened.tenant("other")
    kept = screened.ended(noise_image(1), other)
    before = set(screened.files())
    screened.ban(noise_image(1), tenant_id=DEFAULT_TENANT)
    screened.assert_refused(screened.ended(noise_image(1)), "hash_list", "banned")
    assert set(screened.files()) == before
    assert kept.status == JobStatus.SUCCEEDED


def test_a_changed_list_reaches_a_running_worker(screened: Screened) -> None:
    """Replaced, a list stops the new images and lets the old ones go; removed, it stops nothing."""
    list_id = screened.ban(noise_image(1))
    screened.assert_refused(screened.ended(noise_image(1)), "hash_list", "banned")
    assert screened.ban(noise_image(2)) == list_id
    assert screened.ended(noise_image(1)).status == JobStatus.SUCCEEDED
    screened.assert_refused(screened.ended(noise_image(2)), "hash_list", "banned")
    with screened.bench.process.storage.database.transaction() as session:
        assert store.delete_hash_list(session, None, list_id) == "banned"
    assert screened.ended(noise_image(2)).status == JobStatus.SUCCEEDED


def test_hashes_are_loaded_once_per_change(screened: Screened) -> None:
    """Between changes a worker uses the lists in its memory, and reads them again only every few seconds."""
    statements: list[str] = []
    database = screened.bench.process.storage.database
    event.listen(database.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))

    def reads(hook: HashLists, rounds: int) -> tuple[int, int]:
        statements.clear()
        for _ in range(rounds):
            assert hook.check_image(query(screened, 1)) is not None
        return sum("SELECT hash_lists." in each for each in statements), sum("_entries" in each for each in statements)

    screened.ban(noise_image(1))
    hook = HashLists(database, timedelta(hours=1))
    assert reads(hook, 3) == (1, 1)
    assert reads(hook, 3) == (0, 0)
    hook = HashLists(database, timedelta(microseconds=1))
    assert reads(hook, 3) == (3, 1)
    screened.ban(noise_image(1), noise_image(2))
    assert reads(hook, 3) == (3, 1)


def query(screened: Screened, seed: int) -> QueryImage:
    """An image as a hook sees it."""
    buffer = io.BytesIO()
    noise_image(seed).save(buffer, "PNG")
    return QueryImage(DEFAULT_TENANT, DEFAULT_TENANT, buffer.getvalue)


def test_without_lists_the_image_is_not_read(screened: Screened) -> None:
    """An installation that screens nothing pays nothing for it: no bytes are read, no pixels decoded."""

    def read() -> bytes:
        raise AssertionError("the image was read")

    unread = QueryImage(DEFAULT_TENANT, DEFAULT_TENANT, read)
    screened.bench.process.screening.check_image(unread)
    screened.ban(noise_image(1), tenant_id=screened.tenant("other"))
    screened.bench.process.screening.check_image(unread)


def test_without_the_database_nothing_passes(screened: Screened) -> None:
    """A worker that cannot ask for lists raises; the stage is then tried again."""
    dead = Database(connect(DatabaseSettings(url="postgresql://nobody@127.0.0.1:1/none", connect_timeout=1)))
    with pytest.raises(OperationalError):
        HashLists(dead, timedelta(seconds=5)).check_image(query(screened, 1))
    dead.close()


def test_matching_is_the_obvious_thing() -> None:
    """The packed comparison agrees with counting bits one by one, up to and at the distance."""
    random = np.random.default_rng(5)
    bits = random.integers(0, 2, (300, 256), dtype=np.uint8)
    hashes = pack(bits)
    for distance, variant in itertools.product((0, 31, 64, 256), range(3)):
        flips = bits[random.integers(300)].copy()
        flips[random.permutation(256)[: 31 + variant]] ^= 1
        nearest = min(int((row != flips).sum()) for row in bits)
        assert matches(pack(flips[np.newaxis]), hashes, distance) == (nearest <= distance)
    assert not matches(pack(bits[:1]), pack(bits[:0]), 256)


def pack(bits: np.ndarray) -> np.ndarray:
    """(n, 256) bits as (4, n) words."""
    return np.ascontiguousarray(np.packbits(bits, axis=1).view(np.uint64).T)


def test_a_refused_job_ends_though_the_store_is_down(screened: Screened) -> None:
    """Its pixels are deleted once the store answers again: until then they are due, and no job uses them."""

    class Unavailable(Blobs):
        def delete_all(self, addresses: Sequence[Address], until: float | None = None) -> None:
            raise StorageUnavailable("The image store does not answer; try again in a minute.")

    screened.ban(noise_image(1))
    job_id = screened.submit(noise_image(1))
    here = screened.bench.process
    screened.bench.process = replace(here, storage=replace(here.storage, blobs=Unavailable(here.settings.blobs.url)))
    screened.bench.run()
    screened.assert_refused(screened.job(job_id), "hash_list", "banned")
    assert len(screened.files()) == 1
    with here.storage.database.transaction() as session:
        session.execute(text("UPDATE blobs SET due_at = now() WHERE due_at IS NOT NULL"))
    delete_expired(here.storage, here.settings.retention)
    assert screened.files() == []
