"""A leaf of the fan-out that somebody else generates: a generated image per call, several at once, each kept when it is there.

What has been generated is never ordered again, whoever dies and however often the leaf has to wait. A leaf that has to wait
gives its thread back: its row says when it is to be tried again.
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
from app.vendors.identifier import safety_identifier
from app.vendors.limits import Slot
from attribution.catalog import Source
from attribution.errors import KeyRefused, OutputRefused, PromptRefused, QuotaExhausted, RateLimited, SourceError
from attribution.image import encode_png
from attribution.ports import Deadline, GeneratedImage, SourceState
from attribution.resynthesis import derive_seeds, is_blank
from attribution.resynthesis.remote.gate import GatedGenerator
from attribution.resynthesis.stage import RemarkingGenerator
from workers.cached_images import questions
from workers.discard import discard
from workers.images import PNG
from workers.process import Process
from workers.vendor_gate import CircuitOpen, NoRoom, SourceGate

log = structlog.get_logger(__name__)

# What one of them says it will say of every other generated image, too.
_OF_ALL = (PromptRefused, QuotaExhausted, KeyRefused, CircuitOpen)


def limit_of(claim: SourceClaim) -> timedelta:
    """How long all calls of a leaf may take, should each take as long as it may."""
    return min(timedelta(seconds=claim.row.timeout_seconds * claim.images_per_source), claim.remaining)


def generate_one_by_one(
    process: Process,
    claim: SourceClaim,
    entry: Source,
    generator: GatedGenerator,
    spare: list[Slot],
    wake: Callable[[float], None],
) -> SourceOutcome | None:
    """How the source ended, its generated images being kept already; None while it waits, or when it is not ours any more.

    Raises what keeping generated images raises. `spare` are places among its calls that were taken for it; `wake` is told
    after how many seconds there may be room for those who wait for the source.
    """
    return _RemoteSource(process, claim, entry, generator, spare, wake).generate()


class _RemoteSource:
    def __init__(
        self,
        process: Process,
        claim: SourceClaim,
        entry: Source,
        generator: GatedGenerator,
        spare: list[Slot],
        wake: Callable[[float], None],
    ) -> None:
        row = claim.row
        with process.database.statement() as session:
            earlier = budget.list_for_source(session, row.job_id, row.source)
        self._process = process
        self._claim = claim
        self._entry = entry
        self._generator = generator
        self._gate = SourceGate(
            process,
            claim,
            entry,
            earlier,
            spare,
            freed=lambda: wake(0.0),
            granted=self._another,
        )
        self._wake = wake
        self._identifier = safety_identifier(process.settings.remote, row.tenant_id)
        self._until = Deadline.after(claim.remaining.total_seconds())
        self._seeds = derive_seeds(claim.caption, row.source, row.revision, claim.images_per_source, claim.seed)
        self._lock = Lock()
        self._questions = questions(process, claim)
        self._kept = {each.k: each for each in row.generated_images}
        self._todo = deque(k for k in range(claim.images_per_source) if k not in self._kept)
        self._errors: dict[int, SourceError] = {}
        self._pause: tuple[float, RateLimited] | None = None
        self._broken: Exception | None = None
        self._fenced = False
        self._others: list[Future[None]] = []

    def generate(self) -> SourceOutcome | None:
        self._work()
        while self._others:
            self._others.pop().result()
        if self._broken is not None:
            raise self._broken
        if self._fenced:
            return None
        if self._todo and self._pause is not None:
            seconds, error = self._pause
            if seconds < self._until.remaining():
                self._park(seconds)
                return None
            self._errors.setdefault(self._todo[0], error)
        return self._outcome()

    def _another(self) -> None:
        """A call is under way, so there may be room for another one beside it."""
        with self._lock:
            if self._todo:
                self._others.append(self._process.calls.submit(copy_context().run, self._work))

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._todo:
                    return
                k = self._todo.popleft()
            if not self._one(k):
                return

    def _one(self, k: int) -> bool:
        """Generates the k-th; whether this thread may go on with another."""
        timeout = min(self._claim.row.timeout_seconds, self._until.remaining())
        try:
            generated_image = self._generator.generate_one(
                self._claim.caption, k, self._seeds[k], Deadline.after(timeout), self._gate, self._identifier
            )
            if is_blank(generated_image.image):
                raise OutputRefused("The generated image came back blank, as safety filters do it.")
            self._keep(k, generated_image)
        except NoRoom as error:
            return self._put_back(k, 0.0, error)
        except RateLimited as error:
            return self._put_back(k, self._process.limits.pause(self._entry.id, error.retry_after), error)
        except SourceError as error:
            with self._lock:
                self._errors[k] = error
                if isinstance(error, _OF_ALL):
                    self._todo.clear()
        except (SQLAlchemyError, ServiceError) as error:  # ours, not the source's
            with self._lock:
                self._broken = error
                self._todo.clear()
        except Exception as error:
            log.error("source_error", source=self._entry.id, exc_info=error)
            with self._lock:
                self._errors[k] = SourceError("The source failed in a way nobody foresaw.")
        return True

    def _put_back(self, k: int, seconds: float, error: RateLimited) -> bool:
        with self._lock:
            self._todo.appendleft(k)
            self._pause = max(self._pause or (0.0, error), (seconds, error), key=lambda each: each[0])
        return False

    def _keep(self, k: int, generated_image: GeneratedImage) -> None:
        row = self._claim.row
        stored = self._process.blobs.put(row.tenant_id, encode_png(generated_image.image), PNG)
        role = image_role(row.source, k)
        record = ImageRecord(k, generated_image.seed, stored.sha256, generated_image.prompt)
        with self._lock:  # one at a time: each writes them all
            generated_images = [each for _, each in sorted({**self._kept, k: record}.items())]
            with self._process.database.transaction(durable=False) as session:
                ours = source_repository.save_generated_images(session, row, generated_images)
                asked = {role: self._questions[k]} if k in self._questions else {}
                lost = blob_repository.insert_references(session, row.job_id, {role: stored}, asked) if ours else []
            if ours:
                self._kept[k] = record
            else:
                self._fenced = True
                self._todo.clear()
        self._process.blobs.put_all(lost)
        if not ours:
            discard(self._process, [stored])

    def _park(self, seconds: float) -> None:
        row = self._claim.row
        with self._process.database.statement() as session:
            parked = source_repository.delay_claim(session, row, timedelta(seconds=seconds))
        if parked:
            self._wake(seconds)

    def _outcome(self) -> SourceOutcome:
        row, wanted = self._claim.row, self._claim.images_per_source
        generated_images = [each for _, each in sorted(self._kept.items())]
        first = min(self._errors.items(), default=None)
        if first is None:
            generator = self._generator
            reason = generator.remark(self._claim.caption) if isinstance(generator, RemarkingGenerator) else None
            return SourceOutcome(row, SourceState.DONE, reason, generated_images)
        error = first[1]
        if generated_images:
            return SourceOutcome(
                row,
                SourceState.DONE,
                f"{len(generated_images)} of {wanted} generated images: {error}",
                generated_images,
            )
        return SourceOutcome(row, error.state, _sentence(error))


def _sentence(error: SourceError) -> str:
    if isinstance(error, RateLimited):
        return f"{error} The job's deadline comes before there is room."
    return str(error)
