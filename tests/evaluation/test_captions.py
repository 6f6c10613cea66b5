"""Captioners side by side on a dataset of fakes, and what likeness is worth on figures that were made up."""

import json
from pathlib import Path

import numpy as np
import pytest

from evaluation.captions.quality import TextTower, clip_cosine, point_biserial, predicts, steps, token_f1
from evaluation.cli import main


@pytest.fixture
def made(fakes: Path, tmp_path: Path) -> Path:
    """A dataset whose originals are described by a fake."""
    common = f"--catalog {fakes} --store {tmp_path / 'store'} --captioner fake: --processes 1 --sources fake-a,fake-b"
    assert main(f"dataset make {tmp_path / 'set'} --characters 20 --sides test {common}".split()) == 0
    return tmp_path / "set"


def test_captioners_side_by_side(made: Path, fakes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is measured on its own generated images, beside each other; nothing is described or generated twice."""
    out = tmp_path / "report.json"
    command = (
        f"captions {made} --captioners given,fake:,fake:prefix=something --store {tmp_path / 'store'} "
        f"--work {tmp_path / 'work'} --catalog {fakes} --embedder fake: --processes 1 --out {out}"
    ).split()
    assert main(command) == 0
    report = json.loads(out.read_text())
    given, fake, other = report["captioners"]
    assert (given["ref"], given["token_f1"], given["clip_cosine"]) == ("given@by-caller", 1.0, pytest.approx(1.0))
    assert given["accuracy"] == 1.0  # fakes have different colors
    assert (fake["characters"], report["about"]["originals"]) == (2, 4)
    assert 0 < fake["token_f1"] < 0.5
    assert (other["captioner"], other["examples"][0].split()[0]) == ("fake:prefix=something", "something")
    assert fake["seconds"] > 0
    assert (report["vlm"], len(report["quality"])) == ("not measured", 6)
    shown = capsys.readouterr().out
    assert "| `vlm` | not measured |" in shown
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*.*")}
    assert main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*.*")} == before
    again = json.loads(out.read_text())
    assert again.pop("made")["command"].startswith("python -m evaluation captions ")
    assert again == {name: value for name, value in report.items() if name != "made"}


def test_a_dataset_of_others_has_no_true_prompts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says so, instead of comparing with nothing."""
    (tmp_path / "manifest.json").write_text('{"schema": 1, "kind": "imported", "sources": [], "characters": []}')
    (tmp_path / "items.jsonl").write_text("")
    assert main(["captions", str(tmp_path)]) == 2
    assert "true prompts" in capsys.readouterr().err


def test_words_in_common() -> None:
    """As a share of both texts' words, whatever their order and case; none for none."""
    assert token_f1(
        ["A red hat", "hat red a", "a a", ""], ["a red hat", "a red hat", "a red hat", "a hat"]
    ).tolist() == [
        1.0,
        1.0,
        pytest.approx(2 / 5),
        0.0,
    ]


def test_the_cosine_of_texts() -> None:
    """By CLIP's text tower: one for the same text, less for another, least for nonsense."""
    tower = TextTower("local-dir:zoo/models/clip")
    truth = "a pale skinned person with short red hair in a blue shirt on a green background"
    near = truth.replace("blue shirt", "green shirt")
    same, close, far = clip_cosine(tower, [truth, near, "glasses glasses"], [truth] * 3)
    assert same == pytest.approx(1.0)
    assert same > close > far


def test_what_similarity_predicts() -> None:
    """All of it where the likest are right, nothing where it is by chance; none can be said where nothing varies."""
    alike = np.linspace(0, 1, 40).reshape(4, 10)
    statistics = predicts(alike, alike > 0.5)
    assert statistics["auroc"] == {"value": 1.0, "interval_95": [1.0, 1.0]}
    assert statistics["point_biserial"] is not None
    assert statistics["point_biserial"]["value"] == pytest.approx(
        np.corrcoef(alike.ravel(), (alike > 0.5).ravel())[0, 1]
    )
    chance = np.random.default_rng(0).random((4, 200)) < 0.5
    low, high = predicts(np.random.default_rng(1).random((4, 200)), chance)["auroc"]["interval_95"]  # type: ignore[index, misc]
    assert low < 0.5 < high
    assert predicts(alike, np.ones((4, 10), bool)) == {"auroc": None, "point_biserial": None}
    assert predicts(np.ones((4, 10)), alike > 0.5) == {"auroc": None, "point_biserial": None}
    assert np.isnan(point_biserial(np.ones(3), np.array([True, False, True])))


def test_right_by_likeness() -> None:
    """From the least alike to the likest in parts of one size; captions that are as like stay together."""
    alike = np.linspace(0, 1, 40).reshape(4, 10)
    found = steps(alike, alike > 0.5)
    assert [part["originals"] for part in found] == [8] * 5
    assert [part["accuracy"] for part in found] == [0, 0, 0.5, 1, 1]
    low, high = found[2]["interval_95"]
    assert low < 0.5 < high
    (only,) = steps(np.ones((4, 10)), alike > 0.5)
    assert (only["originals"], only["accuracy"]) == (40, 0.5)
