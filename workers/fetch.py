"""Stage `fetching`: the file at a caller's address becomes the job's image, as if it had been uploaded.

The process then continues with screening, and passes on the canonical image and the evidence: the file is decoded once.
Fetches run in threads of their own, because an address may be slow while the pool has ranking and the sweep to do; the
tenants share these threads.
"""

import uuid
from dataclasses import asdict
from functools import partial
from pathlib import Path

from app.access.volumes import Volume, add_volumes, today
from app.cache.cache_keys import result_key
from app.db.blob_repository import ORIGINAL
from app.db.models import Job, Stage
from app.egress import EgressClient
from app.intake.spool import spool_folder
from app.jobs import source_repository
from app.settings import Settings
from attribution.ports import Origin
from workers.decoder_processes import DecoderProcesses
from workers.models import Models
from workers.screen import QueryFile, screen
from workers.screening import Screening
from workers.storage import Storage
from workers.transitions import Advance
from workers.wakeups import WaitThreads

_CONCURRENT_FETCHES = 32


class Fetcher:
    """The threads and the HTTP client that fetch images. One per process; nothing starts before its first use."""

    def __init__(self, settings: Settings) -> None:
        self._max_bytes = settings.intake.max_bytes
        self._outbound = EgressClient(settings.egress)
        self.threads = WaitThreads("fetch", _CONCURRENT_FETCHES)

    def fetch(self, url: str, upload: Path, tenant_id: uuid.UUID) -> None:
        """Writes the file at a tenant's address to `upload`. Raises what `EgressClient.fetch` raises."""
        with upload.open("wb") as file:
            self._outbound.fetch(url, file, max_bytes=self._max_bytes, owner=tenant_id)

    def close(self) -> None:
        """Starts nothing more, waits for what is running, and closes the connections."""
        self.threads.close()
        self._outbound.close()


def fetch(
    storage: Storage, models: Models, screening: Screening, decoders: DecoderProcesses, fetcher: Fetcher, job: Job
) -> Advance:
    """Fetches, decodes and stores. Raises what fetching and decoding raise: permanent errors, or ones to retry."""
    assert job.image_url is not None
    with spool_folder() as folder:
        upload, canonical = folder / "upload", folder / "canonical.bmp"
        try:
            fetcher.fetch(job.image_url, upload, job.tenant_id)
        finally:
            _count_bytes(storage, job.tenant_id, upload)
        decoded, evidence = decoders.derive(job.tenant_id, upload, canonical)
        # As bytes: they can be stored again until they are recorded, unlike this file.
        original = storage.blobs.put(job.tenant_id, upload.read_bytes(), decoded.media_type)
        query = QueryFile(canonical.read_bytes(), evidence, asdict(decoded))
    return Advance(
        to=Stage.SCREENING,
        values={"image": asdict(decoded), "result_key": _result_key(storage, models, job, decoded.sha256)},
        blobs={ORIGINAL: original},
        then=partial(screen, storage, screening, decoders, file=query),
    )


def _count_bytes(storage: Storage, tenant_id: uuid.UUID, upload: Path) -> None:
    """Adds what was fetched to the tenant's volume of the day, whether it is an image or not."""
    if size := upload.stat().st_size:
        with storage.database.transaction(durable=False) as session:
            add_volumes(session, today(), {tenant_id: Volume(bytes=size)})


def _result_key(storage: Storage, models: Models, job: Job, sha256: str) -> str | None:
    """The cache key of the job's result, now that the file is known; None for a job that is not cached."""
    if not (job.cache and storage.cache_settings.enabled):
        return None
    with storage.database.statement() as session:
        rows = source_repository.list_for_job(session, job.id)
    if any(row.origin == Origin.REFERENCE for row in rows):  # its result depends on more than its file
        return None
    scores = None if job.external_scores is None else job.external_scores.document()
    given = (job.images_per_source, job.seed, job.prompt, job.method_options.document(), scores)
    return result_key(sha256, rows, models.catalog, *given)
