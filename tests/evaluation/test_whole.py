"""`make evaluate-small`: dataset, every variant, every baseline and the report; killed in the middle, it goes on."""

import base64
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from evaluation.cli import main
from evaluation.plan import SMALL, steps
from evaluation.store import ROOT
from tests.evaluation.report.reading import Reading
from tests.waiting import wait_until


def _times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.suffix != ".tmp"}


def _killed(command: list[str], store: Path) -> dict[Path, int]:
    """Starts it, kills it when it has generated some images, and says what was there then."""
    with subprocess.Popen(
        [sys.executable, "-m", "evaluation", *command], cwd=ROOT, stderr=subprocess.DEVNULL
    ) as process:
        wait_until(lambda: len(list(store.rglob("*.png"))) >= 20 or process.poll() is not None)
        assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    there = _times(store)
    assert len(there) >= 20
    return there


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The small size, in one process of one thread, since other tests run beside it."""
    work = tmp_path_factory.mktemp("small")
    places = ["--work", str(work), "--store", str(work / "store")]
    return ["all", "--size", "small", *places, "--processes", "1", "--threads", "1"]


def test_everything_small(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Killed while it generates, run again, and then once more: nothing is done twice, and all of it is on the page."""
    work = Path(command[4])
    there = _killed(command, work / "store")
    assert main(command) == 0
    assert there.items() <= _times(work / "store").items()

    wanted = {step.name for step in steps(SMALL)}
    results = {path.stem: json.loads(path.read_text()) for path in (work / "results").glob("*.json")}
    assert set(results) == wanted
    assert [row["captioner"].partition(":")[0] for row in results["zoo-captions"]["captioners"]] == [
        "given", "blip", "pez", "blip+pez",
    ]  # fmt: skip

    written = (work / "report" / "index.html").read_text()
    read = Reading(written)
    assert {"t1", "plug-in", "accuracy", "left-out", "distortions", "gamma", "distances", "embedders"} <= set(read.ids)
    assert {"captioners", "captions", "examples", "sources", "papers", "setting"} <= set(read.ids)
    not_run = {line.split("--steps ")[1].split()[0].strip("'") for line in read.words.split("Not run: ")[1:]}
    assert all(name.startswith("real-") for name in not_run)
    figures = {path.stem: path.read_bytes() for path in (work / "report").glob("*.png")}
    assert {f"figure-{name}" for name in figures} <= set(read.ids)
    assert {base64.b64decode(each) for each in read.images} == set(figures.values())
    for content in figures.values():
        with Image.open(io.BytesIO(content)) as image:
            image.load()

    before = _times(work)
    capsys.readouterr()
    assert main(command) == 0
    assert capsys.readouterr().err.count(": there\n") == len(wanted)
    changed = {path for path, when in _times(work).items() if before.get(path) != when}
    assert {path.relative_to(work).parts[0] for path in changed} == {"report"}
    assert (work / "report" / "index.html").read_text() == written
