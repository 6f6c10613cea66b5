"""One job is one trace, across processes: every stage and source is below the message that enqueued it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event

from celery.contrib.testing.worker import start_worker
from celery.signals import task_postrun
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app.db.models import JobStatus, Stage
from app.queue.broker import Broker, make_celery
from app.queue.steps import stage_step
from app.telemetry import tracing
from tests.workers.harness import Bench
from workers.tasks import TracingTask

REPOSITORY = Path(__file__).parents[2]
TWO = {"a": "", "b": ""}


def tree(spans: InMemorySpanExporter) -> dict[str, str | None]:
    """Each span's name and its parent's."""
    finished = spans.get_finished_spans()
    names = {span.context.span_id: span.name for span in finished}
    return {span.name: names[span.parent.span_id] if span.parent else None for span in finished}


def traces(spans: InMemorySpanExporter) -> set[int]:
    """The trace ids that were seen."""
    return {span.context.trace_id for span in spans.get_finished_spans()}


def job_of(span: ReadableSpan) -> object:
    """The job that a span is about."""
    return (span.attributes or {}).get("job.id")


def test_a_job_is_one_trace(bench: Callable[..., Bench], spans: InMemorySpanExporter) -> None:
    """From the request through every stage; sources that are generated in threads of their own included."""
    here = bench(TWO)
    with tracing.span("request"):
        job_id = here.submit()
    here.run()
    assert here.job(job_id).status == JobStatus.SUCCEEDED
    assert len(traces(spans)) == 1
    found = tree(spans)
    assert found == {
        "request": None,
        "workers.screen": "request",
        "screening": "workers.screen",
        "captioning": "workers.screen",
        "workers.resynthesize": "captioning",
        "generate a": "workers.resynthesize",
        "generate b": "workers.resynthesize",
        "workers.embed": "workers.resynthesize",
        "embedding": "workers.embed",
        "ranking": "workers.embed",
    }
    stages = [span for span in spans.get_finished_spans() if span.name in list(Stage)]
    assert [job_of(span) for span in stages] == [str(job_id)] * 4


def test_a_requeued_step_is_found_by_its_job(bench: Callable[..., Bench], spans: InMemorySpanExporter) -> None:
    """The message that carried the trace is lost; the new one begins another, which names the job."""
    here = bench(TWO)
    with tracing.span("request"):
        job_id = here.submit()
    here.broker.steps.clear()
    here.pass_time(60)
    here.sweep()
    here.run()
    assert len(traces(spans)) == 2
    assert any(span.name == "screening" and job_of(span) == str(job_id) for span in spans.get_finished_spans())


def test_without_a_trace_nothing_is_carried(bench: Callable[..., Bench]) -> None:
    """Off, which is the default: messages have no trace headers and nothing is recorded."""
    assert not tracing.recording()
    assert stage_step(Stage.CAPTIONING, bench(TWO).submit()).trace == {}


def test_a_real_message_carries_the_trace(bench: Callable[..., Bench], spans: InMemorySpanExporter) -> None:
    """Through Celery and Valkey, from the sender's span to the task's."""
    here = bench(TWO)
    here.process.storage.redis.flushall()
    celery = make_celery(here.process.settings)
    celery.Task = TracingTask

    def caption(job_id: str) -> None:
        assert job_id

    celery.task(caption, name="workers.caption", shared=False)
    ended = Event()
    task_postrun.connect(lambda **_: ended.set(), weak=False, dispatch_uid="ended")
    celery.conf.task_default_queue = "caption"
    with start_worker(celery, perform_ping_check=False, pool="solo"):
        with tracing.span("request"):
            Broker(celery).enqueue([stage_step(Stage.CAPTIONING, here.submit())])
        assert ended.wait(30)
    task_postrun.disconnect(dispatch_uid="ended")
    celery.close()
    assert tree(spans) == {"request": None, "workers.caption": "request"}
    assert len(traces(spans)) == 1


def test_the_service_needs_no_sdk() -> None:
    """Without the extra everything can be imported."""
    script = "import sys; sys.modules['opentelemetry.sdk'] = None; import app.api, workers.tasks"
    assert subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY).returncode == 0
