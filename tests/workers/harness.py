"""A worker process inside a test: real stores, and a broker whose messages the test delivers, drops or doubles."""

import uuid
from collections import deque
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from PIL import Image
from sqlalchemy import text

from app.db.blobs import Address
from app.db.models import DEFAULT_TENANT, Job, JobSource, Stage
from app.db.types import MethodOptions
from app.documents import JobDocument, job_document
from app.jobs import repository, source_repository
from app.jobs.acceptance import NewJob, NewSource, accept
from app.queue.broker import Broker
from app.queue.steps import (
    NOTIFY_TASK,
    REFERENCES_TASK,
    RESUME_TASK,
    RESYNTHESIZE_TASK,
    QueuedStep,
    is_local,
    queue_of,
    stage_step,
    stage_task_name,
)
from app.telemetry import tracing
from app.vendors import budget
from attribution.image import encode_png
from tests.app.images import marked
from workers.process import Process
from workers.references import accept_references
from workers.resynthesize import resume, resynthesize
from workers.stages import run_stage, stage_works
from workers.sweep import sweep


class HeldBroker(Broker):
    """Keeps messages until the test delivers, drops or doubles them."""

    def __init__(self) -> None:
        self.steps: deque[QueuedStep] = deque()
        self.unavailable = False

    def enqueue(self, steps: Iterable[QueuedStep]) -> bool:
        """Remembers the messages, unless it is unavailable."""
        if not self.unavailable:
            self.steps.extend(steps)
        return not self.unavailable


class Bench:
    """One worker process and what a test does to it."""

    def __init__(self, process: Process, broker: HeldBroker) -> None:
        self.process = process
        self.broker = broker

    def submit(
        self,
        color: tuple[int, int, int] = (200, 40, 40),
        image: Image.Image | None = None,
        file: bytes | None = None,
        **options: Any,
    ) -> uuid.UUID:
        """Accepts a job on every source of the catalog, and enqueues its first stage."""
        data = file or encode_png(image or marked(color))
        stored = self.process.storage.blobs.put(DEFAULT_TENANT, data, "image/png")
        new = NewJob(
            tenant_id=DEFAULT_TENANT,
            image={
                "format": "PNG",
                "width": 64,
                "height": 48,
                "frames": 1,
                "sha256": stored.sha256,
                "size": stored.size,
            },
            sources=self._sources(),
            method_options=MethodOptions.chosen(self.process.settings.models, **options.pop("method_options", {})),
            **dict[str, Any](images_per_source=2, deadline=timedelta(minutes=5)) | options,
        )
        with self.process.storage.database.transaction() as session:
            job_id = accept(session, new, {"original": stored}).job.id
        self.broker.enqueue([stage_step(Stage.SCREENING, job_id)])
        return job_id

    def submit_url(self, url: str, **options: Any) -> uuid.UUID:
        """Accepts a job whose image is yet to be fetched."""
        new = NewJob(
            tenant_id=DEFAULT_TENANT,
            image=None,
            image_url=url,
            stage=Stage.FETCHING,
            sources=self._sources(),
            method_options=MethodOptions.chosen(self.process.settings.models, **options.pop("method_options", {})),
            **dict[str, Any](images_per_source=2, deadline=timedelta(minutes=5)) | options,
        )
        with self.process.storage.database.transaction() as session:
            job_id = accept(session, new).job.id
        self.broker.enqueue([stage_step(Stage.FETCHING, job_id)])
        return job_id

    def _sources(self) -> list[NewSource]:
        return [
            NewSource(
                source=source.id,
                family=source.family,
                platform=source.platform,
                model=source.model,
                revision=source.revision,
                queue=queue_of(source),
                timeout=timedelta(seconds=source.limits.timeout_seconds),
                external=source.external,
            )
            for source in self.process.models.catalog.sources
        ]

    def deliver(self, step: QueuedStep) -> None:
        """Runs one message as its task would."""
        with tracing.continued(step.trace), tracing.span(step.task):
            self._deliver(step)

    def _deliver(self, step: QueuedStep) -> None:
        here = self.process
        if step.task == NOTIFY_TASK:
            return here.webhooks.send_due()
        if step.task == RESUME_TASK:
            return resume(here.storage, here.models, here.vendors, step.arguments[0])
        if step.task == RESYNTHESIZE_TASK:
            job_id, queue = uuid.UUID(step.arguments[0]), step.arguments[1]
            if not is_local(queue):
                return resynthesize(here.storage, here.models, here.vendors, job_id, queue)
            here.local.generate(job_id, queue)
            return here.local.flush()
        if step.task == REFERENCES_TASK:
            return accept_references(here.storage, here.models, here.screening, uuid.UUID(step.arguments[0]))
        works = stage_works(here)
        stage = next(stage for stage in works if stage_task_name(stage) == step.task)
        return run_stage(here, works, stage, uuid.UUID(step.arguments[0]))

    def run(self, until: Callable[[QueuedStep], bool] = lambda step: False) -> None:
        """Delivers messages, oldest first, until none is left or `until` holds for the next one."""
        while self.broker.steps and not until(self.broker.steps[0]):
            self.deliver(self.broker.steps.popleft())

    def sweep(self) -> None:
        """One round of the sweep."""
        sweep(self.process.storage, self.process.models, self.process.webhooks)

    def pass_time(self, seconds: float) -> None:
        """Moves everything that is written in the rows into the past."""
        with self.process.storage.database.transaction() as session:
            for table, columns in (
                ("jobs", ("requeued_at", "lease_until", "deadline_at", "stage_entered_at")),
                ("job_sources", ("requeued_at", "lease_until", "timeout_at", "next_attempt_at")),
            ):
                moved = ", ".join(f"{column} = {column} - make_interval(secs => :seconds)" for column in columns)
                session.execute(text(f"UPDATE {table} SET {moved}"), {"seconds": seconds})

    def stored(self) -> set[Address]:
        """What lies in the blob store, however young."""
        portions = self.process.storage.blobs.listed(timedelta(seconds=-5))
        return {address for portion in portions for address in portion}

    def job(self, job_id: uuid.UUID) -> Job:
        """The row as it stands."""
        with self.process.storage.database.transaction() as session:
            found = repository.get_by_id(session, DEFAULT_TENANT, job_id)
        assert found is not None
        return found

    def original(self, job_id: uuid.UUID) -> str:
        """The address of the file as it came."""
        image = self.job(job_id).image
        assert image is not None
        return str(image["sha256"])

    def sources(self, job_id: uuid.UUID) -> dict[str, JobSource]:
        """The rows of its sources, by id."""
        with self.process.storage.database.transaction() as session:
            return {row.source: row for row in source_repository.list_for_job(session, job_id)}

    def document(self, job_id: uuid.UUID) -> JobDocument:
        """What a caller would read."""
        job = self.job(job_id)
        with self.process.storage.database.transaction() as session:
            rows = source_repository.list_for_job(session, job_id)
            return job_document(job, rows, budget.sum_by_source(session, job))
