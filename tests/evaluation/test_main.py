"""The command line, from nothing to a calibration that evaluation then applies."""

import json
from pathlib import Path

import numpy as np
import pytest

from evaluation.cli import main


@pytest.fixture
def made(fakes: Path, tmp_path: Path) -> Path:
    """A dataset by the command."""
    common = f"--catalog {fakes} --store {tmp_path / 'store'} --captioner fake: --processes 1 --sources fake-*"
    assert main(f"dataset make {tmp_path / 'set'} --characters 12 --images-per-source 2 {common}".split()) == 0
    return tmp_path / "set"


def test_from_nothing_to_a_calibration(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Make, check, calibrate on one part of the characters, evaluate with the thresholds on another."""
    assert main(["dataset", "check", str(made)]) == 0
    common = f"{made} --store {tmp_path / 'store'} --embedder fake: --images-per-source 1,2"
    calibration, report = tmp_path / "calibration.json", tmp_path / "report.json"
    assert main(f"calibrate {common} --sides train,validation --out {calibration}".split()) == 0
    entries = json.loads(calibration.read_text())["entries"]
    assert [entry["images_per_source"] for entry in entries] == [1, 2]
    assert entries[0]["sources"] == {f"fake-{name}": "1" for name in "abcde"}
    lenient = tmp_path / "max.json"
    assert main(f"calibrate {common} --aggregate max --out {lenient}".split()) == 0
    assert {entry["aggregate"] for entry in json.loads(lenient.read_text())["entries"]} == {"max"}
    assert main(f"evaluate {common} --aggregate max --calibration {calibration} --out {report}".split()) == 0
    known = [run["verdict"] is not None for run in json.loads(report.read_text())["runs"]]
    assert known == [True, False]  # of one generated image all aggregates are the same
    assert main(f"evaluate {common} --calibration {calibration} --out {report}".split()) == 0
    runs = json.loads(report.read_text())["runs"]
    assert [run["queries"] for run in runs] == [60, 60]
    assert all(run["verdict"] is not None for run in runs)
    assert "left out" in capsys.readouterr().out


def test_a_check_can_fail(made: Path, tmp_path: Path) -> None:
    """One source alone is trivial, so the check fails; a lost image is a problem."""
    common = f"{made} --store {tmp_path / 'store'} --embedder fake: --out {tmp_path / 'report.json'}"
    assert main(f"evaluate {common} --check".split()) == 0
    assert main(f"evaluate {common} --check --sources fake-a".split()) == 1
    (made / "images/fake-a/00001.png").unlink()
    assert main(["dataset", "check", str(made)]) == 1


def test_published_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Four distances by default, chosen ones on request, and the same files evaluated our way."""
    random = np.random.default_rng(0)
    np.save(tmp_path / "clip_features.npy", random.normal(size=(4, 10, 4, 8)).astype(np.float32))
    np.save(tmp_path / "clip_references_features.npy", random.normal(size=(4, 10, 8)).astype(np.float32))
    out = tmp_path / "out.json"
    assert main(f"import features {tmp_path} --out {out}".split()) == 0
    assert [run["distance"] for run in json.loads(out.read_text())["runs"]] == [
        "cosine",
        "euclidean",
        "manhattan",
        "correlation",
    ]
    assert main(f"import features {tmp_path} --distances cosine --subset test --out {out}".split()) == 0
    (run,) = json.loads(out.read_text())["runs"]
    assert len(run["predictions"]) == run["queries"] == 4
    assert main(f"evaluate {tmp_path} --out {out}".split()) == 0
    assert json.loads(out.read_text())["runs"][0]["queries"] == 40
    assert main(f"import features {tmp_path} --transforms sepia --out {out}".split()) == 2
    assert "sepia" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("dataset check nowhere", "not a finished dataset"),
        ("dataset make out --sources zoo-unknown", "zoo-unknown"),
        ("dataset make out --characters 1000 --sources zoo-lcm", "have names"),
        ("import images nowhere out", "no images"),
        ("evaluate nowhere", "not a finished dataset"),
    ],
)
def test_mistakes_are_one_sentence(arguments: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, with exit code 2."""
    assert main(arguments.split()) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_too_few_sources_or_generated_images(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two sources leave no margin once one is left out; γ is at most what was generated."""
    common = f"{made} --store {tmp_path / 'store'} --embedder fake:"
    assert main(f"calibrate {common} --sources fake-a,fake-b".split()) == 2
    assert main(f"evaluate {common} --images-per-source 9".split()) == 2
    said = capsys.readouterr().err
    assert "three sources" in said
    assert "γ = 9" in said
