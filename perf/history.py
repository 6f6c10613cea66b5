"""What callers, receivers and vendors saw of a run with faults, and whether the service's records agree with it.

Read after the run, when nothing is left to do. Each check counts its violations; all must be zero.
"""

import json
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import psycopg

from app.db.blobs import Blobs

ENDS = ("attribution.completed", "attribution.failed", "attribution.canceled")


@dataclass(slots=True)
class History:
    """What happened outside of the service."""

    accepted: set[uuid.UUID] = field(default_factory=set)  # jobs of which a caller got 202
    deleted: set[uuid.UUID] = field(default_factory=set)  # jobs of which a caller got 204
    events: list[tuple[str, str, uuid.UUID]] = field(default_factory=list)  # id, type and job, as receivers got them
    billed: Mapping[str, float] = field(default_factory=dict)  # US dollars by source, as vendors count them


@contextmanager
def receiver(history: History) -> Iterator[str]:
    """A receiver of webhooks; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            job_id = uuid.UUID(str(body["data"]["id"]))
            history.events.append((self.headers["webhook-id"], str(body["type"]), job_id))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def violations(history: History, database_url: str, blobs: Blobs) -> dict[str, int]:
    """How often each promise was broken."""
    with psycopg.connect(database_url) as connection:
        ended = {row[0] for row in connection.execute("SELECT id FROM jobs WHERE completed_at IS NOT NULL")}
        unended = connection.execute("SELECT count(*) FROM jobs WHERE completed_at IS NULL").fetchone()
        tombstones = {row[0] for row in connection.execute("SELECT id FROM jobs WHERE deleted_at IS NOT NULL")}
        used = set(connection.execute("SELECT DISTINCT tenant_id, sha256 FROM blob_references").fetchall())
        using = {row[0] for row in connection.execute("SELECT DISTINCT job_id FROM blob_references")}
        due = connection.execute("SELECT count(*) FROM blobs WHERE due_at IS NOT NULL").fetchone()
        recorded: dict[str, float] = {source: float(usd) for source, usd in connection.execute(_RECORDED).fetchall()}
        wrong_sums = connection.execute(_WRONG_SUMS).fetchone()
    assert unended is not None
    assert due is not None
    assert wrong_sums is not None
    stored = {address for portion in blobs.listed(timedelta(seconds=-5)) for address in portion}
    ends = Counter(
        job_id for job_id, _ in {(job_id, event) for event, type_, job_id in history.events if type_ in ENDS}
    )
    return {
        "accepted jobs that do not exist": len(history.accepted - ended - tombstones),
        "jobs that did not end": unended[0],
        "accepted jobs of which receivers got no end": len(history.accepted - history.deleted - ends.keys()),
        "jobs of which receivers got several ends": sum(count > 1 for count in ends.values()),
        "deleted jobs that are not": len(history.deleted - tombstones),
        "deleted jobs that still use bytes": len(history.deleted & using),
        "bytes that are used and are not there": len(used - stored),
        "bytes that are there and not used": len(stored - used),
        "bytes that are still to be deleted": due[0],
        "sources billed for more than was recorded": sum(
            usd > recorded.get(source, 0.0) + 1e-6 for source, usd in history.billed.items()
        ),
        "jobs whose sum is not that of their calls": wrong_sums[0],
    }


_RECORDED = "SELECT source, sum(coalesce(settled_usd, reserved_usd)) FROM source_calls GROUP BY source"
_WRONG_SUMS = """
    SELECT count(*) FROM jobs j WHERE spent_usd <> (
        SELECT coalesce(sum(coalesce(settled_usd, reserved_usd)), 0) FROM source_calls WHERE job_id = j.id
    )
"""
