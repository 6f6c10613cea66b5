"""Generates the local sources of a process in batches across jobs: claim, generate, hand over to be saved, again.

A message only says that something waits: which source is next (`workers.source_choice`) and whose jobs go into its
batch (`workers.turns`) is decided by what waits when it arrives. A batch takes what waits and does not wait for more.
Each message is worth one batch, so that other roles of the process get their turn in between.

A row that was claimed before is generated alone: what crashed its worker takes nothing else with it a second time.
"""

import time
import uuid
from collections import deque
from collections.abc import Hashable, Sequence
from contextlib import ExitStack
from functools import partial

import structlog

from app.jobs import batch_repository, source_repository
from app.jobs.batch_repository import WaitingImages
from app.jobs.source_repository import SourceClaim, SourceOutcome
from app.queue.steps import notify_step, sources_step
from app.telemetry import tracing
from app.telemetry.metrics import GENERATION_BATCH
from attribution.ports import BatchGenerator, Generator, Resynthesis, SourceState
from attribution.resynthesis import resynthesize, resynthesize_together
from workers import cached_images
from workers.batch_writer import BACKLOG, BatchWriter
from workers.models import Models
from workers.resynthesize import (
    GeneratedBatch,
    count,
    generator_of,
    log_error,
    missing_of,
    request_of,
    save_batches,
    store_batch,
    time_limit,
)
from workers.source_choice import next_source
from workers.storage import Storage
from workers.turns import Share, Turns

log = structlog.get_logger(__name__)

# A claimed row with the k that it misses.
_Order = tuple[SourceClaim, Sequence[int]]


class LocalSources:
    """The local sources of one process. One thread generates; another one saves."""

    def __init__(self, storage: Storage, models: Models) -> None:
        self._storage = storage
        self._models = models
        self._turns = Turns()
        self._writer = BatchWriter()
        # What the batches generated that may not be saved yet.
        self._unsaved: deque[set[Hashable]] = deque(maxlen=BACKLOG + 1)

    def generate(self, job_id: uuid.UUID, queue: str) -> None:
        """Generates one batch. Of which jobs, what waits decides; the message's own job only if it is tried again."""
        if self._storage.leases.ending:
            return
        settings = self._storage.job_settings
        with self._storage.database.statement() as session:
            claims = batch_repository.claim_again(session, job_id, queue, settings.lease, settings.attempts)
        claims = claims or self._claim_batch()
        if claims:
            self._generate(claims)

    def flush(self) -> None:
        """Returns when everything that was generated is saved."""
        self._writer.flush()

    def close(self) -> None:
        """Saves what was generated."""
        self._writer.close()

    def _claim_batch(self) -> Sequence[SourceClaim]:
        models, settings = self._models, self._storage.job_settings
        memory_mb = {source.id: source.memory_mb for source in models.catalog.sources if source.is_local}
        with self._storage.database.statement() as session:
            waiting = _by_source(batch_repository.list_waiting(session, memory_mb))
        while waiting:
            source = next_source(waiting, self._turns, models.loaded, memory_mb, models.costs)
            models.load(source, needed=waiting)  # before the claim: loading is no part of a row's time
            shares = self._turns.allot(waiting[source], models.batch_size(source))
            with self._storage.database.statement() as session:
                claims = batch_repository.claim_batch(session, source, shares, settings.lease, settings.attempts)
            if claims:
                for claim in claims:
                    self._turns.advance(claim.row.tenant_id, len(missing_of(claim)))
                return claims
            del waiting[source]  # other processes were faster
        return ()

    def _generate(self, claims: Sequence[SourceClaim]) -> None:
        """Generates claimed rows of one source, and has them saved."""
        held = ExitStack()
        limit = max(map(time_limit, claims))
        for claim in claims:
            held.enter_context(self._storage.leases.hold(claim.row, limit))
        try:
            wanted = {_content(claim): claim for claim in reversed(claims)}
            if any(wanted.keys() & content for content in self._unsaved):
                self._writer.flush()
            cached_images.use_for_claims(self._storage, self._models, claims)
            ended = self._resyntheses([(claim, missing_of(claim)) for claim in wanted.values()])
        except BaseException:
            held.close()
            raise
        self._unsaved.append(set(wanted))
        kept = {claim.row.job_id for claim in wanted.values()}
        repeated = [claim for claim in claims if claim.row.job_id not in kept]
        self._writer.submit(partial(self._save, list(wanted.values()), ended, repeated, held))

    def _resyntheses(self, orders: Sequence[_Order]) -> Sequence[Resynthesis | None]:
        """What each order ends as, None where it misses nothing."""
        began, source = time.monotonic(), orders[0][0].row.source
        by_revision: dict[str, list[int]] = {}
        for place, (claim, missing) in enumerate(orders):
            if missing:
                by_revision.setdefault(claim.row.revision, []).append(place)
        ended: list[Resynthesis | None] = [None] * len(orders)
        for places in by_revision.values():
            wanted = [orders[place] for place in places]
            images = sum(len(missing) for _, missing in wanted)
            jobs = " ".join(str(claim.row.job_id) for claim, _ in wanted)
            with tracing.span(f"generate {source}", attributes={"source": source, "job.id": jobs}):
                generator = generator_of(self._models, wanted[0][0].row)
                begun = time.monotonic()
                found = _together(generator, wanted)
            for place, result in zip(places, found, strict=True):
                ended[place] = result
                count(orders[place][0].row, result.state, began)
            if not isinstance(generator, Resynthesis):
                self._models.costs.add_batch(source, images, time.monotonic() - begun)
                GENERATION_BATCH.labels(source).observe(images)
                log.info("batch_generated", source=source, jobs=len(wanted), images=images)
        return ended

    def _save(
        self,
        claims: Sequence[SourceClaim],
        ended: Sequence[Resynthesis | None],
        repeated: Sequence[SourceClaim],
        held: ExitStack,
    ) -> None:
        """Saves a batch, and then the rows that want the same images as one of them."""
        with held:
            batches = [
                batch for claim, result in zip(claims, ended, strict=True) if (batch := self._batch(claim, result))
            ]
            save_batches(self._storage, self._models, batches)
            if repeated:
                self._save_repeated(repeated)
        if any(claim.notify for claim in [*claims, *repeated]):
            self._storage.broker.enqueue([notify_step()])

    def _save_repeated(self, claims: Sequence[SourceClaim]) -> None:
        """Gives rows the images that were just generated for others; what got none is released to be generated."""
        cached_images.use_for_claims(self._storage, self._models, claims, just_cached=True)
        batches = [batch for claim in claims if not missing_of(claim) and (batch := self._batch(claim, None))]
        save_batches(self._storage, self._models, batches)
        for claim in claims:
            if missing_of(claim):
                with self._storage.database.statement() as session:
                    source_repository.release_claim_uncounted(session, claim.row)
                self._storage.broker.enqueue([sources_step(claim.row.job_id, claim.row.queue)])

    def _batch(self, claim: SourceClaim, ended: Resynthesis | None) -> GeneratedBatch | None:
        row = claim.row
        if ended is None:
            return GeneratedBatch(SourceOutcome(row, SourceState.DONE, generated_images=row.generated_images))
        with structlog.contextvars.bound_contextvars(job_id=str(row.job_id)):
            return store_batch(self._storage, self._models, claim, ended, missing_of(claim))


def _content(claim: SourceClaim) -> Hashable:
    """What two rows of a tenant have in common that may share their images."""
    row = claim.row
    if not claim.cache:
        return row.job_id
    return row.tenant_id, row.source, row.revision, claim.caption, claim.seed, claim.images_per_source


def _by_source(waiting: Sequence[WaitingImages]) -> dict[str, dict[uuid.UUID, Share]]:
    found: dict[str, dict[uuid.UUID, Share]] = {}
    for each in waiting:
        found.setdefault(each.source, {})[each.tenant_id] = Share(each.jobs, each.images, each.seconds)
    return found


def _together(generator: Generator | Resynthesis, orders: Sequence[_Order]) -> Sequence[Resynthesis]:
    if isinstance(generator, Resynthesis):
        return [generator] * len(orders)
    requests = [request_of(claim, missing) for claim, missing in orders]
    if isinstance(generator, BatchGenerator):
        return resynthesize_together(generator, requests, log_error)
    return [resynthesize(generator, each.caption, each.seeds, each.deadline, log_error) for each in requests]
