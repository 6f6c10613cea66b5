"""The class of every task: its message carries the trace of whoever sent it, and the task goes on with that."""

from celery import Task
from opentelemetry.trace import SpanKind

from app.telemetry import tracing


class TracingTask(Task):  # type: ignore[misc]
    """A task that goes on with the trace of whoever sent its message."""

    def __call__(self, *arguments: str) -> None:
        """Runs the task's function."""
        with tracing.continued(self.request.headers or {}), tracing.span(self.name, SpanKind.CONSUMER):
            super().__call__(*arguments)
