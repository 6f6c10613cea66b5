"""A remote source of a job: one image per call, several calls at once, each image saved when it arrives.

An image that was generated is never ordered again, whatever dies and however often the source has to wait. A source
that has to wait releases its thread; its row then has the time of its next attempt.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from datetime import timedelta
from threading import Lock

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.db import blob_repository
from app.db.blob_repository import image_role
from app.db.types import ImageRecord
from app.errors import ServiceError
from app.jobs import source_repository
from app.jobs.source_repository import SourceClaim, SourceOutcome
from app.vendors import budget
from app.vendors.limits import Slot
from attribution.errors import KeyRefused, OutputRefused, PromptRefused, QuotaExhausted, RateLimited, SourceError
from attribution.image import encode_png
from attribution.ports import Deadline, GeneratedImage, SourceState
from attribution.resynthesis import derive_seeds, is_blank
from attribution.resynthesis.remote.gate import GatedGenerator
from attribution.resynthesis.stage import RemarkingGenerator
from workers.artifacts import PNG
from workers.cached_images import image_keys
from workers.models import Models
from workers.spend_gate import CircuitOpen, NoRoom, SourceGate
from workers.storage import Storage, discard
from workers.vendors import Vendors, safety_identifier

log = structlog.get_logger(__name__)

# After one of these errors all other images of the source would end the same way.
_ENDS_ALL = (PromptRefused, QuotaExhausted, KeyRefused, CircuitOpen)


def limit_of(claim: SourceClaim) -> timedelta:
    """How long all calls of a source may take together, should each take as long as it may."""
    return min(timedelta(seconds=claim.row.timeout_seconds * claim.images_per_source), claim.remaining)


class RemoteSource:
    """A claimed source of a job, generated one image at a time."""

    def __init__(
        self,
        storage: Storage,
        models: Models,
        vendors: Vendors,
        claim: SourceClaim,
        generator: GatedGenerator,
        spare: list[Slot],
        wake: Callable[[float], None],
    ) -> None:
        """Reads the calls of earlier attempts.

        Args:
            spare: Slots that were acquired for this source already; used ones are removed.
            wake: Called with the seconds after which jobs that wait for the source are to be resumed.
        """
        row = claim.row
        with storage.database.statement() as session:
            earlier = budget.list_for_source(session, row.job_id, row.source)
        self._storage = storage
        self._vendors = vendors
        self._claim = claim
        self._generator = generator
        self._gate = SourceGate(
            storage.database,
            vendors,
            claim,
            models.catalog.get(row.source),
            earlier,
            spare,
            freed=lambda: wake(0.0),
            granted=self._start_thread,
        )
        self._wake = wake
        self._identifier = safety_identifier(vendors.remote_settings, row.tenant_id)
        self._until = Deadline.after(claim.remaining.total_seconds())
        self._seeds = derive_seeds(claim.caption, row.source, row.revision, claim.images_per_source, claim.seed)
        self._cache_keys = image_keys(storage, models, claim)
        self._lock = Lock()
        self._saved = {each.k: each for each in row.generated_images}
        self._todo = deque(k for k in range(claim.images_per_source) if k not in self._saved)
        self._errors: dict[int, SourceError] = {}
        self._pause: tuple[float, RateLimited] | None = None
        self._save_error: Exception | None = None
        self._fenced = False
        self._threads: list[Future[None]] = []

    def generate(self) -> SourceOutcome | None:
        """Generates the missing images and saves each; how the source ended.

        None while it waits, and where the claim was fenced off. Raises SQLAlchemyError or ServiceError where an image
        cannot be saved.
        """
        self._work()
        while self._threads:
            self._threads.pop().result()
        if self._save_error is not None:
            raise self._save_error
        if self._fenced:
            return None
        if self._todo and self._pause is not None:
            seconds, error = self._pause
            if seconds < self._until.remaining():
                self._delay(seconds)
                return None
            self._errors.setdefault(self._todo[0], error)
        return self._outcome()

    def _start_thread(self) -> None:
        """A call has its reservation, so that there may be room for another one beside it."""
        with self._lock:
            if self._todo:
                self._threads.append(self._vendors.call_threads.submit(copy_context().run, self._work))

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._todo:
                    return
                k = self._todo.popleft()
            if not self._generate(k):
                return

    def _generate(self, k: int) -> bool:
        """Generates the k-th image; whether this thread may continue with another."""
        timeout = min(self._claim.row.timeout_seconds, self._until.remaining())
        try:
            generated_image = self._generator.generate_one(
                self._claim.caption, k, self._seeds[k], Deadline.after(timeout), self._gate, self._identifier
            )
            if is_blank(generated_image.image):
                raise OutputRefused("The generated image is blank, as safety filters return it.")
            self._save(k, generated_image)
        except NoRoom as error:
            return self._put_back(k, 0.0, error)
        except RateLimited as error:
            seconds = self._vendors.limits.pause(self._claim.row.source, error.retry_after)
            return self._put_back(k, seconds, error)
        except SourceError as error:
            with self._lock:
                self._errors[k] = error
                if isinstance(error, _ENDS_ALL):
                    self._todo.clear()
        except (SQLAlchemyError, ServiceError) as error:  # ours, not the source's
            with self._lock:
                self._save_error = error
                self._todo.clear()
        except Exception as error:
            log.error("source_error", source=self._claim.row.source, exc_info=error)
            with self._lock:
                self._errors[k] = SourceError(
                    "The source failed with an unexpected error; the operator's log says why."
                )
        return True

    def _put_back(self, k: int, seconds: float, error: RateLimited) -> bool:
        with self._lock:
            self._todo.appendleft(k)
            self._pause = max(self._pause or (0.0, error), (seconds, error), key=lambda each: each[0])
        return False

    def _save(self, k: int, generated_image: GeneratedImage) -> None:
        row = self._claim.row
        stored = self._storage.blobs.put(row.tenant_id, encode_png(generated_image.image), PNG)
        role = image_role(row.source, k)
        record = ImageRecord(k, generated_image.seed, stored.sha256, generated_image.prompt)
        with self._lock:  # one at a time: each writes all images of the source
            generated_images = [each for _, each in sorted({**self._saved, k: record}.items())]
            with self._storage.database.transaction(durable=False) as session:
                ours = source_repository.save_generated_images(session, row, generated_images)
                keys = {role: self._cache_keys[k]} if k in self._cache_keys else {}
                lost = blob_repository.insert_references(session, row.job_id, {role: stored}, keys) if ours else []
            if ours:
                self._saved[k] = record
            else:
                self._fenced = True
                self._todo.clear()
        self._storage.blobs.put_all(lost)
        if not ours:
            discard(self._storage, [stored])

    def _delay(self, seconds: float) -> None:
        with self._storage.database.statement() as session:
            delayed = source_repository.delay_claim(session, self._claim.row, timedelta(seconds=seconds))
        if delayed:
            self._wake(seconds)

    def _outcome(self) -> SourceOutcome:
        row, wanted = self._claim.row, self._claim.images_per_source
        generated_images = [each for _, each in sorted(self._saved.items())]
        first = min(self._errors.items(), default=None)
        if first is None:
            generator = self._generator
            reason = generator.remark(self._claim.caption) if isinstance(generator, RemarkingGenerator) else None
            return SourceOutcome(row, SourceState.DONE, reason, generated_images)
        error = first[1]
        if generated_images:
            reason = f"{len(generated_images)} of {wanted} generated images: {error}"
            return SourceOutcome(row, SourceState.DONE, reason, generated_images)
        return SourceOutcome(row, error.state, _sentence(error))


def _sentence(error: SourceError) -> str:
    if isinstance(error, RateLimited):
        return f"{error} The job's deadline comes before there is room."
    return str(error)
