"""A receiver of whodrew's webhooks for a moderation queue: it verifies, decides once per event, and answers at once.

    WEBHOOK_SECRET=whsec_… python docs/examples/moderate.py

Decisions are rows of `decisions.sqlite3`. It needs `pip install standardwebhooks` and nothing else.
"""

import os
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

MAX_BYTES = 20_000  # no payload is longer


def decide(event: dict[str, Any]) -> tuple[str, str] | None:
    """What to do about a post, and why; None for events that decide nothing. Your policy goes here."""
    data = event["data"]
    if event["type"] == "attribution.failed":
        return "review", data["error"]["title"]
    if event["type"] != "attribution.completed":
        return None
    if data["verdict"]["kind"] == "attributed":
        return "label", f"drawn by {data['verdict']['source']}"
    # Nobody is named. A person looks at it, and may want to know what came nearest.
    nearest = ", ".join(entry["source"] for entry in data["ranking"])
    return "review", f"{data['verdict']['reason']}; nearest: {nearest or 'none'}"


class Decisions:
    """What was decided, by `webhook-id`: an event that comes twice is decided once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with closing(sqlite3.connect(path)) as database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS decisions (webhook_id TEXT PRIMARY KEY, job TEXT, post TEXT, "
                "decision TEXT, why TEXT)"
            )

    def add(self, webhook_id: str, data: dict[str, Any], decision: str, why: str) -> bool:
        """Writes it down; False when the event has been seen before."""
        row = (webhook_id, data["id"], data["external_id"], decision, why)
        with closing(sqlite3.connect(self._path)) as database, database:
            return database.execute("INSERT OR IGNORE INTO decisions VALUES (?, ?, ?, ?, ?)", row).rowcount == 1

    def all(self) -> list[tuple[str, ...]]:
        """Every decision: webhook-id, job, post, decision, why."""
        with closing(sqlite3.connect(self._path)) as database:
            return database.execute("SELECT * FROM decisions ORDER BY rowid").fetchall()


class Receiver(ThreadingHTTPServer):
    """Listens on loopback. Any of `secrets` verifies: during a rotation, give it the new one beside the old one."""

    def __init__(self, port: int, secrets: Sequence[str], decisions: Decisions) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.webhooks = [Webhook(secret) for secret in secrets]
        self.decisions = decisions


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Receiver

    def do_POST(self) -> None:
        """Answers 204 only once the decision is written: whatever goes wrong before is sent again."""
        length = int(self.headers.get("content-length", 0))
        if length > MAX_BYTES:
            return self._answer(413)
        # The very bytes are signed: verify them before parsing, and never what a parser made of them.
        event = self._verify(self.rfile.read(length))
        if event is None:
            return self._answer(400)
        if decided := decide(event):
            new = self.server.decisions.add(self.headers["webhook-id"], event["data"], *decided)
            print("decided" if new else "known", event["data"]["external_id"], *decided, flush=True)
        else:
            print("told", event["type"], event["data"]["sequence"], flush=True)
        return self._answer(204)

    def _verify(self, body: bytes) -> dict[str, Any] | None:
        for webhook in self.server.webhooks:
            try:
                return webhook.verify(body, dict(self.headers))
            except (WebhookVerificationError, ValueError):
                continue
        return None

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing about single requests."""


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
    with Receiver(port, os.environ["WEBHOOK_SECRET"].split(), Decisions(Path("decisions.sqlite3"))) as receiver:
        print(f"listening at http://127.0.0.1:{port}/", flush=True)
        receiver.serve_forever()
