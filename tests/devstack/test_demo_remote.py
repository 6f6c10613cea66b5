"""What the demo with stub vendors uploads and prints, and one complete run."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from devstack.demo_remote import NOTICE, StubCatalog, awaited, generated_by, reference_images, shown
from devstack.state import REPOSITORY

SOURCES: list[dict[str, Any]] = [
    {"source": "zoo-dit", "state": "done", "reason": None, "origin": "generator", "platform": "local"},
    {"source": "stub-flux", "state": "done", "reason": None, "origin": "generator", "platform": "bfl"},
    {"source": "stub-gpt", "state": "refused_prompt", "reason": "No.", "origin": "generator", "platform": "openai"},
    {"source": "elsewhere", "state": "done", "reason": None, "origin": "reference", "platform": "elsewhere"},
]
RANKED = {"family": "f", "distance": 0.5, "score": 0.3, "distances": [0.4, 0.6]}
JOB: dict[str, Any] = {
    "id": "7",
    "status": "succeeded",
    "stage": None,
    "sources": SOURCES,
    "result": {
        "caption": "a face",
        "captioner": "blip@1",
        "distance": "cosine",
        "ranking": [{"source": name, **RANKED} for name in ("zoo-dit", "stub-flux", "elsewhere")],
        "margin": 0.1,
        "verdict": {"kind": "inconclusive", "source": None, "reason": "uncalibrated"},
    },
    "timings": {},
    "spend": {
        "budget_usd": 2.0,
        "usd": 0.06,
        "calls": [{"source": "stub-flux", "calls": 2, "images": 2, "usd": 0.06}],
    },
}
CATALOG = StubCatalog(Path("sources"), {}, {"bfl": 0.03})


def test_references_are_uploaded_once_there_is_a_caption() -> None:
    """Before it there is nothing to upload; after it each awaited source has an upload path."""
    waiting = {"source": "elsewhere", "state": "awaiting_reference", "references": "/attribute/7/references/elsewhere"}
    assert awaited({"stage": "captioning", "sources": [waiting]}) == []
    job = {"stage": "resynthesizing", "sources": [*SOURCES, waiting]}
    assert awaited(job) == ["/attribute/7/references/elsewhere"]
    assert len(set(reference_images("a face"))) == 2


def test_who_generated() -> None:
    """Three kinds, and a stub is never called its vendor."""
    assert [generated_by(source) for source in SOURCES] == [
        "this host",
        "stub of bfl",
        "stub of openai",
        "uploaded by the caller",
    ]


@pytest.mark.parametrize(("images", "code"), [(1, 0), (2, 0), (3, 1)])
def test_more_billed_than_recorded_is_a_failure(images: int, code: int) -> None:
    """The ranking with who generated, the states, what was spent, and what the stubs counted."""
    console = Console(file=io.StringIO(), width=120)
    assert shown(console, JOB, CATALOG, {"bfl": images, "openai": 0}) == code
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    for piece in ("this host", "stub of bfl", "uploaded by the caller", "stub-gpt, refused_prompt: No."):
        assert piece in text
    assert "spent     0.060 of 2.00 USD" in text
    assert f"billed    {images * 0.03:.3f} USD for {images} images" in text
    assert "inconclusive: uncalibrated" in text


def test_the_whole_of_it(state_dir: Path) -> None:
    """As `make demo-remote` runs it: demo models, stubs and uploaded references in one job, each in its state."""
    made = subprocess.run(
        [sys.executable, "-m", "devstack", "demo-remote"],
        cwd=REPOSITORY,
        env={**os.environ, "STATE_DIR": str(state_dir), "COLUMNS": "140"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    assert made.stdout.startswith(NOTICE)
    ranked = [line for line in made.stdout.splitlines() if line.startswith("│") and "." in line]
    assert sum("this host" in line for line in ranked) == 4
    assert sum("stub of " in line for line in ranked) == 4
    assert sum("uploaded by the caller" in line for line in ranked) == 1
    for state in ("refused_prompt", "refused_output", "quota", "unavailable"):
        assert f", {state}: " in made.stdout
    assert "USD for 10 images, by what the stubs counted" in made.stdout
