"""What is written down of a request: a line with ids and no content, and a span in the trace of its caller."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.app.images import encoded

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01"}


def lines(log: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    """The log's lines of an event, before they become text."""
    return [record.msg for record in log.records if isinstance(record.msg, dict) and record.msg["event"] == event]


def test_a_request_is_one_line_without_content(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    """What, when, who and which job came of it are there; query string, body and key are not."""
    answer = client.post("/attribute?note=secret-query", files={"image": encoded()}, headers={"X-Request-Id": "mine"})
    (line,) = lines(caplog, "request")
    assert line["request_id"] == "mine"
    assert line["job_id"] == answer.json()["id"]
    assert (line["method"], line["route"], line["status"]) == ("POST", "/attribute", 202)
    assert 0 < line["seconds"] < 60
    assert line["tenant_id"]
    assert line["actor"].startswith("key:")
    assert "secret-query" not in str(line)
    assert client.headers["Authorization"].removeprefix("Bearer ") not in str(line)


@pytest.mark.parametrize("reads", [False, True])
def test_reads_are_logged_where_configured(
    start: Callable[..., TestClient], capsys: pytest.CaptureFixture[str], reads: bool
) -> None:
    """Polling would fill the log; LOG__READS shows it. What fails is always a line."""
    client = start(log={"reads": reads})
    client.get("/sources")
    client.get("/nowhere")
    written = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    statuses = [line["status"] for line in written if line["event"] == "request"]
    assert statuses == ([200, 404] if reads else [404])


def test_the_callers_trace_is_named_in_the_log(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    """Without a collector, too: the lines of a request can be found by the trace that its caller gave it."""
    client.post("/attribute", files={"image": encoded()}, headers=TRACEPARENT)
    (accepted,) = lines(caplog, "request")
    assert accepted["trace_id"] == TRACE_ID


@pytest.mark.parametrize("given", ["", "nonsense", "00-0-0-00", "\x00"])
def test_an_invalid_trace_is_ignored(client: TestClient, caplog: pytest.LogCaptureFixture, given: str) -> None:
    """A broken header costs the trace and nothing else."""
    answer = client.post("/attribute", files={"image": encoded()}, headers={"traceparent": given})
    assert answer.status_code == 202
    (accepted,) = lines(caplog, "request")
    assert "trace_id" not in accepted


def test_a_request_is_a_span_of_the_callers_trace(client: TestClient, spans: InMemorySpanExporter) -> None:
    """Its parent is the caller's span, its name the route; an id in the path is not in it."""
    client.get("/attribute/00000000-0000-7000-8000-00000000dead?secret=1", headers=TRACEPARENT)
    (span,) = spans.get_finished_spans()
    assert span.name == "GET /attribute/{job_id}"
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}" == TRACE_ID
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": "/attribute/{job_id}",
        "http.response.status_code": 404,
    }
