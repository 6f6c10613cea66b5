"""The whole service under the supervisor, with real processes and fake models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.app.images import marked

SOURCE = """
schema = 1
id = "{id}"
name = "{id}"
enabled = true
family = "fake"
platform = "local"
model = "fake"
revision = "1"
license = "none"
memory_mb = 1
adapter = "fake"
[limits]
timeout_seconds = 60
"""


def test_the_demo_prints_a_ranking_and_leaves_nothing_running(state_dir: Path, tmp_path: Path) -> None:
    """One image over HTTP through API, workers and clock, the ranking printed, exit code 0, every process ended."""
    image = tmp_path / "red.png"
    marked((200, 30, 40)).save(image)
    for name in ("first", "second"):
        (tmp_path / f"{name}.toml").write_text(SOURCE.format(id=name))
    settings = {
        "STATE_DIR": str(state_dir),
        "CATALOG__DIRECTORIES": json.dumps([str(tmp_path)]),
        "MODELS__CAPTIONER": "fake:",
        "MODELS__EMBEDDER": "fake:",
        "MODELS__CALIBRATIONS": "[]",
    }
    done = subprocess.run(
        [sys.executable, "-m", "devstack", "demo", str(image)],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
    )
    logs = {log.name: log.read_text()[-2000:] for log in (state_dir / "log").glob("*.log")}
    assert done.returncode == 0, (done.stdout, done.stderr, logs)
    for piece in ("an image in red", "first", "second", "cosine distance", "margin", "uncalibrated", "curl"):
        assert piece in done.stdout
    left = json.loads((state_dir / "processes.json").read_text())
    assert set(left) >= {"postgres", "valkey", "api", "worker-models-1", "beat"}
    assert {entry["pid"] for entry in left.values()} == {None}
    assert list((state_dir / "blobs").iterdir()), "the images went somewhere else"
