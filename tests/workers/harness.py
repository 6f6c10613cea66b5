"""A worker process inside a test: real stores, and a broker whose messages the test delivers, drops or doubles."""

import io
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from PIL import Image
from sqlalchemy import text

from app import tracing
from app.documents import JobDocument, job_document
from app.queue.broker import Broker
from app.queue.steps import NOTIFY_TASK, RESYNTHESISE_TASK, Step, queue_of, stage_step, stage_task_name
from app.store import blobs, jobs
from app.store.models import DEFAULT_TENANT, Job, JobSource, Stage
from workers.process import Process
from workers.resynthesise import resynthesise
from workers.stage import run_stage
from workers.stages import STAGES
from workers.sweep import sweep


class HeldBroker(Broker):
    """Keeps messages until the test delivers, drops or doubles them."""

    def __init__(self) -> None:
        self.steps: deque[Step] = deque()
        self.away = False

    def enqueue(self, steps: Iterable[Step]) -> bool:
        """Remembers the messages, unless it is away."""
        if not self.away:
            self.steps.extend(steps)
        return not self.away


class Bench:
    """One worker process and what a test does to it."""

    def __init__(self, process: Process, broker: HeldBroker) -> None:
        self.process = process
        self.broker = broker

    def submit(
        self, colour: tuple[int, int, int] = (200, 40, 40), image: Image.Image | None = None, **options: Any
    ) -> uuid.UUID:
        """Accepts a job on every source of the catalogue, and enqueues its first stage."""
        buffer = io.BytesIO()
        (image or Image.new("RGB", (64, 48), colour)).save(buffer, "PNG")
        stored = self.process.blobs.put(DEFAULT_TENANT, buffer.getvalue(), "image/png")
        new = jobs.NewJob(
            tenant_id=DEFAULT_TENANT,
            image={
                "format": "PNG",
                "width": 64,
                "height": 48,
                "frames": 1,
                "sha256": stored.sha256,
                "size": stored.size,
            },
            query_blob=stored.sha256,
            sources=self._sources(),
            **{"candidates": 2, "deadline": timedelta(minutes=5)} | options,
        )
        with self.process.database.transaction() as session:
            job, _ = jobs.accept(session, new)
            blobs.refer(session, job.id, {"query": stored})
        self.broker.enqueue([stage_step(Stage.SCREENING, job.id)])
        return job.id

    def submit_url(self, url: str, **options: Any) -> uuid.UUID:
        """Accepts a job whose image is yet to be fetched."""
        new = jobs.NewJob(
            tenant_id=DEFAULT_TENANT,
            image=None,
            query_blob=None,
            image_url=url,
            stage=Stage.FETCHING,
            sources=self._sources(),
            **{"candidates": 2, "deadline": timedelta(minutes=5)} | options,
        )
        with self.process.database.transaction() as session:
            job, _ = jobs.accept(session, new)
        self.broker.enqueue([stage_step(Stage.FETCHING, job.id)])
        return job.id

    def _sources(self) -> list[jobs.NewSource]:
        return [
            jobs.NewSource(
                source=source.id,
                family=source.family,
                platform=source.platform,
                model=source.model,
                revision=source.revision,
                queue=queue_of(source),
                timeout=timedelta(seconds=source.limits.timeout_seconds),
            )
            for source in self.process.catalogue.sources
        ]

    def deliver(self, step: Step) -> None:
        """Runs one message as its task would."""
        with tracing.continued(step.trace), tracing.span(step.task):
            self._deliver(step)

    def _deliver(self, step: Step) -> None:
        if step.task == NOTIFY_TASK:
            return self.process.couriers.send_due()
        if step.task == RESYNTHESISE_TASK:
            return resynthesise(self.process, uuid.UUID(step.arguments[0]), step.arguments[1])
        stage = next(stage for stage in STAGES if stage_task_name(stage) == step.task)
        return run_stage(self.process, STAGES, stage, uuid.UUID(step.arguments[0]))

    def run(self, until: Callable[[Step], bool] = lambda step: False) -> None:
        """Delivers messages, oldest first, until none is left or the next one is as asked."""
        while self.broker.steps and not until(self.broker.steps[0]):
            self.deliver(self.broker.steps.popleft())

    def sweep(self) -> None:
        """One round of the night watch."""
        sweep(self.process)

    def pass_time(self, seconds: float) -> None:
        """Moves everything that is written in the rows into the past."""
        with self.process.database.transaction() as session:
            for table, columns in (
                ("jobs", ("handed_on_at", "lease_until", "deadline_at", "stage_since")),
                ("job_sources", ("handed_on_at", "lease_until", "timeout_at")),
            ):
                moved = ", ".join(f"{column} = {column} - make_interval(secs => :seconds)" for column in columns)
                session.execute(text(f"UPDATE {table} SET {moved}"), {"seconds": seconds})

    def job(self, job_id: uuid.UUID) -> Job:
        """The row as it stands."""
        with self.process.database.transaction() as session:
            found = jobs.find(session, DEFAULT_TENANT, job_id)
        assert found is not None
        return found

    def sources(self, job_id: uuid.UUID) -> dict[str, JobSource]:
        """The rows of its sources, by id."""
        with self.process.database.transaction() as session:
            return {row.source: row for row in jobs.sources_of(session, job_id)}

    def document(self, job_id: uuid.UUID) -> JobDocument:
        """What a caller would read."""
        return job_document(self.job(job_id), list(self.sources(job_id).values()))
