"""The page: everything that was measured, by name what was not, and nothing from elsewhere."""

import json
from pathlib import Path
from typing import Any

import pytest

from evaluation.cli import main
from evaluation.report.gather import Results
from evaluation.report.html import code, table, text
from evaluation.report.page import page, plates, sections
from evaluation.report.sections.examples import why
from evaluation.report.sections.summary import summary
from evaluation.store import ROOT
from tests.evaluation.report.reading import Reading

COMMITTED = ROOT / "docs" / "benchmark"


def point(accuracy: float) -> dict[str, Any]:
    """A point of a curve."""
    return {"accuracy": accuracy, "interval_95": [accuracy - 0.05, accuracy + 0.05]}


T1 = {
    "about": {"dataset": "papers"},
    "runs": [
        {
            "sources": ["zoo-a", "zoo-b", "zoo-c"],
            "chance": 1 / 3,
            "shots": [1, 5, 10],
            "repeats": 5,
            "resynthesis": point(0.5),
            "curves": {
                "linear": [point(0.3), point(0.4), point(0.6)],
                "slow & deep": [point(0.2), None, point(0.4)],
                "meek": [point(0.2), point(0.3), point(0.4)],
                "best": [point(0.3), point(0.5), point(0.6)],
                "De-Fake": [None, None, None],
            },
            "crosses_at": {"linear": 10, "slow & deep": None, "meek": None, "best": 5, "De-Fake": None},
            "settled": {"linear": False, "slow & deep": True, "meek": True, "best": True, "De-Fake": False},
            "baselines": {
                "slow & deep": {
                    "sees": ["pictures"],
                    "comparable": False,
                    "steps": {"1": 50, "10": 100},
                    "cells": 10,
                    "seconds": 12.3,
                },
                "meek": {
                    "sees": ["features"],
                    "comparable": True,
                    "steps": {"1": None, "5": None, "10": None},
                    "cells": 15,
                    "seconds": 1.2,
                },
            },
            "plugin": [],
        }
    ],
}


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """Results of one step, by a command that has something to escape."""
    folder = tmp_path / "results"
    folder.mkdir()
    made = {"command": "python -m evaluation t1 '<set>'", "at": "2026-11-27T12:00:00+00:00", "seconds": 3.0}
    made |= {"machine": {"processor": "a & b", "memory_gib": 8}, "versions": {"python": "3.11.7"}}
    (folder / "zoo-t1.json").write_text(json.dumps(T1 | {"made": made}))
    return folder


def test_what_was_not_run_is_named(measured: Path, tmp_path: Path) -> None:
    """Each with the command that measures it; what was run is there with its command, escaped."""
    out = tmp_path / "out"
    assert main(["report", str(measured), "--out", str(out)]) == 0
    text = (out / "index.html").read_text()
    read = Reading(text)
    assert {path.name for path in out.glob("*.png")} == {"t1.png"}
    assert len(read.images) == 1
    for missing in ("zoo-captions", "zoo-evaluate-*", "zoo-examples", "zoo-distortions", "dataset"):
        assert f"python -m evaluation all --steps '{missing}'" in read.words
    assert "--steps 'real-*-external-scores' --real FOLDER" in read.words
    assert "Measured on 2026-11-27." in read.words
    assert "python -m evaluation t1 '<set>'" in read.words
    assert "slow & deep, untrained start" in read.words
    assert "slow &amp; deep" in text
    assert "With 3 classes De-Fake, CLIP-LoRA, EfficientNet-B4 and Tiny Autoencoders were not run." in read.words


def test_old_figures_go(measured: Path, tmp_path: Path) -> None:
    """The folder holds one run: what an earlier one left, and this one has not, is removed; other files stay."""
    out = tmp_path / "out"
    (out / "results").mkdir(parents=True)
    for stale in ("captioners.png", "results/zoo-captions.json", "notes.md"):
        (out / stale).write_text("old")
    assert main(["report", str(measured), "--out", str(out)]) == 0
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == {
        "index.html",
        "notes.md",
        "t1.png",
        "results/zoo-t1.json",
    }
    before = (out / "index.html").read_bytes()
    assert main(["report", str(out / "results"), "--out", str(out)]) == 0  # of its own results
    assert (out / "index.html").read_bytes() == before


def test_what_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing at all, and what is no result, are one sentence."""
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "There are no results" in capsys.readouterr().err
    (tmp_path / "zoo-t1.json").write_text("{")
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "is not JSON" in capsys.readouterr().err
    (tmp_path / "zoo-t1.json").write_text("{}")
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "KeyError('runs')" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_of_two_results_the_first_counts(measured: Path, tmp_path: Path) -> None:
    """A later folder fills gaps."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "zoo-t1.json").write_text("{}")
    (other / "zoo-external-scores.json").write_text('{"a": 1}')
    found = Results.read([measured, other])
    assert found["zoo-t1"]["runs"]
    assert found["zoo-external-scores"] == {"a": 1}
    assert Results.read([other, measured])["zoo-t1"] == {}


def test_the_summary_says_who_crosses(measured: Path) -> None:
    """Headline and others, not the forms, and not what started without its weights; and who never does."""
    text = "".join(str(part) for part in summary(Results.read([measured])).parts)
    assert "3 classes: the best CLIP classifier from 5 shots on at or above resynthesis" in text
    assert "meek never up to 10" in text
    assert "slow &amp; deep" not in text
    assert "linear" not in text


def test_real_images_stand_by_folder_and_form(tmp_path: Path) -> None:
    """Each folder, made alike or not, has a sentence and a table of its own."""
    row = {
        "images_per_source": 1,
        "aggregate": "mean",
        "images": 2,
        "over_mean": 0.0,
        "over_mean_interval_95": [0.0, 0.0],
    }
    for form, accuracy in (("alike", 0.5), ("as-they-are", 0.9)):
        about = {"subject": "five", "alike": form == "alike", "sources": ["a", "b"], "queries": 8, "embedder": "clip@1"}
        document: dict[str, Any] = {
            "about": about | {"groups": 2, "intervals_over": "prompts"},
            "distance": "cosine",
            "seconds": {},
        }
        document["rows"] = [row | point(accuracy)]
        (tmp_path / f"real-five-{form}-images-per-source.json").write_text(json.dumps(document))
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    read = Reading((tmp_path / "out" / "index.html").read_text())
    figures = ", 2 sources, natural prompt: γ = 1"
    assert f"Real images (five, made alike){figures} 50.0 % (45.0 to 55.0)" in read.words
    assert f"Real images (five, as they are){figures} 90.0 % (85.0 to 95.0)" in read.words
    assert "Real images (five, made alike): 2 sources, 8 queries, clip@1, cosine" in read.words
    assert "--steps 'real-*-images-per-source'" not in read.words


def test_a_wrong_answer_is_explained_by_its_figures() -> None:
    """Who was nearer, how the margin compares, what the caption got wrong, and how often that happens."""
    found: dict[str, Any] = {
        "source": "zoo-a",
        "named": "zoo-b",
        "description": "a person with a red shirt wearing glasses",
        "caption": "a person with a blue shirt",
        "margin": 0.01,
        "ranking": [
            {"source": "zoo-b", "distance": 0.02},
            {"source": "zoo-c", "distance": 0.03},
            {"source": "zoo-a", "distance": 0.05},
        ],
        "named_so": 1,
        "originals": 10,
    }
    document = {
        "about": {"families": {"zoo-a": "u-net", "zoo-b": "u-net"}},
        "margins": {"right": 0.02, "wrong": 0.005},
    }
    text = " ".join(why(found, document))
    assert "Wrong: the resynthesis by b is the nearest (0.0200); that by a is number 3 (0.0500)." in text
    assert "“red” became “blue”, “wearing glasses” is missing" in text
    assert "Both are of the family u-net." in text
    assert "Of a's 10 originals 1 is attributed to b." in text
    right = found | {"named": "zoo-a", "ranking": found["ranking"][::-1], "caption": found["description"]}
    text = " ".join(why(right, document))
    assert text.startswith("Right: the resynthesis by a is the nearest (0.0500), that by c the next (0.0300).")
    assert "word for word" in text


def test_markup_is_escaped_once() -> None:
    """Text always, markup never, in attributes as well."""
    assert text("a < b", code("c", title='"')) == '<p>a &lt; b<code title="&#34;">c</code></p>'
    assert "<td>&lt;i&gt;</td>" in table(["x", "y"], [["row", "<i>"]])


def test_the_committed_run_is_what_its_results_say() -> None:
    """`python -m evaluation report docs/benchmark/results --out docs/benchmark` writes it again."""
    results = Results.read([COMMITTED / "results"])
    found = sections(results)
    images = {plate.name: (COMMITTED / f"{plate.name}.png").read_bytes() for plate in plates(found)}
    written = (COMMITTED / "index.html").read_bytes()
    assert page(results, found, images).encode() == written
    read = Reading(written.decode())
    assert len(read.images) == len(images) == len(list(COMMITTED.glob("*.png"))) > 10
    assert sum(path.stat().st_size for path in COMMITTED.rglob("*") if path.is_file()) < 3 * 2**20
