"""A worker process, images with features to compare, and lists and rules as an operator would set them up."""

import io
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from app.db.blobs import Address
from app.db.models import DEFAULT_TENANT, AuditEntry, BlobReference, Job, JobStatus, Stage, Tenant
from app.db.types import MethodOptions
from app.jobs import source_repository
from app.jobs.acceptance import NewJob, NewSource, accept
from app.queue.steps import queue_of, stage_step
from app.screening import repository as store
from app.screening.hash_csv import DEFAULT_DISTANCE, HashRow
from attribution.ports import SourceState
from tests.app.egress.site import Site, serve
from tests.workers.harness import Bench
from workers.screening.pdq import dihedral_hashes


def noise_image(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Colored shapes that no other seed has: enough features for a perceptual hash."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(1))


def pdq(image: Image.Image) -> bytes:
    """The hash as ThreatExchange's tools would list it."""
    hashes, quality = dihedral_hashes(image)
    assert quality >= 50
    return hashes[0].tobytes()


@dataclass
class Screened:
    """A bench, and what a test of screening does to it."""

    bench: Bench

    def submit(self, image: Image.Image, tenant_id: uuid.UUID = DEFAULT_TENANT, **options: Any) -> uuid.UUID:
        """Accepts a job as intake does."""
        process = self.bench.process
        original = io.BytesIO()
        image.save(original, "PNG")
        uses = {"original": process.storage.blobs.put(tenant_id, original.getvalue(), "image/png")}
        document = {"format": "PNG", "width": image.width, "height": image.height, "frames": 1}
        new = NewJob(
            id=uuid.uuid4(),
            tenant_id=tenant_id,
            image=document | {"sha256": uses["original"].sha256, "size": uses["original"].size},
            sources=[
                NewSource(
                    source=source.id,
                    family=source.family,
                    platform=source.platform,
                    model=source.model,
                    revision=source.revision,
                    queue=queue_of(source),
                    timeout=timedelta(seconds=20),
                )
                for source in process.models.catalog.sources
            ],
            method_options=MethodOptions.chosen(process.settings.models),
            **dict[str, Any](images_per_source=1, deadline=timedelta(minutes=5)) | options,
        )
        with process.storage.database.transaction() as session:
            job_id = accept(session, new, uses).job.id
        self.bench.broker.enqueue([stage_step(Stage.SCREENING, job_id)])
        return job_id

    def ended(self, image: Image.Image, tenant_id: uuid.UUID = DEFAULT_TENANT, **options: Any) -> Job:
        """Submits, lets the workers work, and returns the job."""
        job_id = self.submit(image, tenant_id, **options)
        self.bench.run()
        return self.job(job_id)

    def job(self, job_id: uuid.UUID) -> Job:
        """The row as it stands."""
        with self.bench.process.storage.database.transaction() as session:
            return session.get_one(Job, job_id)

    def ban(
        self,
        *images: Image.Image,
        name: str = "banned",
        tenant_id: uuid.UUID | None = None,
        max_distance: int = DEFAULT_DISTANCE,
    ) -> uuid.UUID:
        """Makes a list of the images' hashes."""
        return self.ban_hashes(map(pdq, images), name, tenant_id, max_distance)

    def ban_hashes(
        self, hashes: Iterable[bytes], name: str, tenant_id: uuid.UUID | None = None, max_distance: int = 31
    ) -> uuid.UUID:
        """Makes a list of hashes."""
        with self.bench.process.storage.database.transaction() as session:
            return store.upsert_list(session, tenant_id, name, max_distance, map(HashRow, hashes))[0]

    def rule(self, kind: str, pattern: str, name: str = "rule", tenant_id: uuid.UUID | None = None) -> None:
        """Sets a text rule up, unchecked."""
        with self.bench.process.storage.database.transaction() as session:
            store.upsert_rule(session, tenant_id, name, kind, pattern)

    def tenant(self, name: str) -> uuid.UUID:
        """Another tenant."""
        with self.bench.process.storage.database.transaction() as session:
            row = Tenant(id=uuid.uuid4(), name=name)
            session.add(row)
            return row.id

    def files(self) -> list[Address]:
        """Everything that lies in the blob store."""
        return list(self.bench.stored())

    def audited(self) -> list[AuditEntry]:
        """The audit log, oldest first."""
        with self.bench.process.storage.database.transaction() as session:
            return session.query(AuditEntry).order_by(AuditEntry.id).all()

    def assert_refused(self, job: Job, kind: str, name: str) -> None:
        """Never generated, nothing kept, the reason said, and written down."""
        assert (job.status, job.stage) == (JobStatus.FAILED, None)
        assert job.error is not None
        assert job.error["type"] == "/problems/screening-refused"
        assert job.error["screening"] == {"kind": kind, "name": name}
        self.assert_never_generated(job)
        assert (job.prompt, job.caption, job.evidence) == (None, None, None)
        assert job.images_deleted_at is not None
        assert job.captions_deleted_at is not None
        with self.bench.process.storage.database.transaction() as session:
            assert session.query(BlobReference).filter_by(job_id=job.id).count() == 0
        (entry,) = [entry for entry in self.audited() if entry.subject == str(job.id)]
        assert (entry.tenant_id, entry.actor, entry.action) == (job.tenant_id, "screening", "job.screened")
        assert entry.detail == {"kind": kind, "name": name}

    def assert_never_generated(self, job: Job) -> None:
        """No source was ever called."""
        with self.bench.process.storage.database.transaction() as session:
            rows = source_repository.list_for_job(session, job.id)
        assert {(row.state, row.attempt) for row in rows} == {(SourceState.PENDING, 0)}


@pytest.fixture
def make_screened(bench: Callable[..., Bench]) -> Callable[..., Screened]:
    """Makes a worker process whose lists and rules are in force at once: `make_screened(job={"attempts": 1})`."""

    def make(**groups: Any) -> Screened:
        groups["screening"] = {"refresh": 1e-6} | groups.get("screening", {})
        return Screened(bench({"a": "", "b": ""}, **groups))

    return make


@pytest.fixture
def screened(make_screened: Callable[..., Screened]) -> Screened:
    """A worker process over two fake sources."""
    return make_screened()


@pytest.fixture
def site() -> Iterator[Site]:
    """A moderation service on loopback."""
    with serve() as running:
        yield running
