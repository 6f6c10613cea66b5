"""Traces by OpenTelemetry: from the HTTP request through the messages to every step and call that it leads to.

The `opentelemetry-api` alone propagates the caller's trace, and log lines name it; spans are recorded and sent only
with an endpoint set and the extra `otel` installed. Attributes are ids and states, never content.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from opentelemetry import context, trace
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from structlog.typing import EventDict, WrappedLogger

from app.settings import TracingSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

# Without the caller's `baggage`, which would be sent to sources and webhook receivers.
_propagator = TraceContextTextMapPropagator()
_STANDARD = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_tracer: trace.Tracer | None = None


def configure_tracing(settings: TracingSettings, service: str) -> None:
    """Starts sending spans if an endpoint is set. Raises ModuleNotFoundError where the extra `otel` is missing."""
    if settings.endpoint is None and not any(os.environ.get(name) for name in _STANDARD):
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    record(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.endpoint)), service)


def record(processor: "SpanProcessor | None", service: str = "whodrew") -> None:
    """Sends every span of this process to the processor from now on; None turns recording off."""
    global _tracer
    if processor is None:
        _tracer = None
        return
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    # OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER and the like are read by the SDK itself.
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(processor)
    _tracer = provider.get_tracer("whodrew")


def recording() -> bool:
    """Whether spans are recorded."""
    return _tracer is not None


def span(
    name: str, kind: SpanKind = SpanKind.INTERNAL, attributes: Mapping[str, str] | None = None
) -> AbstractContextManager[Span]:
    """A span around the block, a child of the one around it; what is raised within is recorded as its error."""
    if _tracer is None:
        return nullcontext(trace.INVALID_SPAN)
    return _tracer.start_as_current_span(name, kind=kind, attributes=attributes)


def carrier() -> dict[str, str]:
    """The headers that propagate the current trace to the next process; empty outside of a trace."""
    headers: dict[str, str] = {}
    _propagator.inject(headers)
    return headers


@contextmanager
def continued(headers: Mapping[str, str]) -> Iterator[None]:
    """Within the block spans belong to the trace of the headers, or to a new one where they have none."""
    token = context.attach(_propagator.extract(headers, context.Context()))
    try:
        yield
    finally:
        context.detach(token)


def add_trace_id(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A structlog processor: adds the ids of the current trace and span."""
    current = trace.get_current_span().get_span_context()
    if current.is_valid:
        event["trace_id"] = trace.format_trace_id(current.trace_id)
        event["span_id"] = trace.format_span_id(current.span_id)
    return event
