"""Variants side by side: they rank as the service does, and nothing is trained on what it is tested on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attribution.distance import DISTANCES, compare_pixels, distance_named
from attribution.embed.fake import FakeEmbedder
from attribution.embed.stage import embed_all
from attribution.image import load
from attribution.ports import Aggregate, Deadline, Embedded, ModelRef
from attribution.rank import rank
from attribution.resynthesis.fake import FakeBehavior, FakeGenerator
from evaluation.cli import main
from evaluation.metrics import nearest
from evaluation.store import Store
from evaluation.variants import external_scores
from evaluation.variants.subject import Subject


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    """Three fakes' images after four prompts, three of each."""
    folder = tmp_path / "gallery"
    for name in "abc":
        fake = FakeGenerator(name, ModelRef(name, "1"), FakeBehavior())
        (folder / name).mkdir(parents=True)
        for prompt in ("a hat", "a red cat", "a green tree", "a blue car"):
            for k, generated_image in enumerate(fake.generate(prompt, (1, 2, 3), Deadline.after(9))):
                generated_image.image.save(folder / name / f"{prompt.replace(' ', '-')}__{k}.png")
    return folder


@pytest.fixture
def subject(gallery: Path, tmp_path: Path) -> Subject:
    """The same, embedded."""
    return Subject.of_gallery(gallery, FakeEmbedder(), Store(tmp_path / "store"))


@pytest.mark.parametrize("name", sorted(DISTANCES))
def test_every_distance_ranks_as_the_service_does(subject: Subject, name: str) -> None:
    """For some queries the same order and distances as of the stages, from the very files."""
    found = subject.rankings(name, 2, Aggregate.MAX).distances
    names = subject.features.sources
    for i, p in ((0, 0), (1, 5), (2, 11)):
        query = load(subject.queries[i][p].path).image
        generated = {
            source: [load(each.path).image for each in subject.generated_images[i][p][j]]
            for j, source in enumerate(names)
        }
        distance = distance_named(name)
        embedded = embed_all(FakeEmbedder(), query, generated)
        embedded = Embedded(
            embedded.embedder, embedded.query, embedded.generated_images, compare_pixels(distance, query, generated)
        )
        one = rank(embedded, distance, names, aggregate=Aggregate.MAX)
        order = nearest(found[i])[p]
        assert [entry.source for entry in one.entries] == [names[j] for j in order]
        assert [entry.distance for entry in one.entries] == pytest.approx(found[i, p, order].tolist(), abs=1e-6)


def test_real_images_never_meet_themselves(subject: Subject) -> None:
    """Neither as a generated image of their own model, nor, of the other models, the one of the same number."""
    assert subject.groups.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    for i, p in np.ndindex(3, 12):
        query = subject.queries[i][p].path.name
        generated = [each.path for by in subject.generated_images[i][p] for each in by]
        assert query not in {path.name for path in generated}
        assert {path.name.partition("__")[0] for path in generated} == {query.partition("__")[0]}
        assert [path.parent.name for path in generated] == ["a", "a", "b", "b", "c", "c"]


def test_nothing_is_trained_on_what_it_is_tested_on(subject: Subject) -> None:
    """Each prompt is counted once; its weight is chosen without it, on prompts that were not trained on either."""
    folds = list(external_scores._folds(subject))
    assert [set(subject.groups[fold.counted[1]]) for fold in folds] == [{0}, {1}, {2}, {3}]
    for fold in folds:
        out = set(subject.groups[fold.counted[1]])
        for pool, columns in (*fold.choosing, fold.counted):
            assert not set(subject.groups[pool]) & set(subject.groups[columns])
        for pool, columns in fold.choosing:
            assert not out & set(subject.groups[[*pool, *columns]])


@pytest.mark.parametrize("method", external_scores.METHODS.values(), ids=external_scores.METHODS)
def test_methods_learn_from_shots(method: Callable[..., Any]) -> None:
    """Three directions with little noise are separated, in any order of the queries."""
    random = np.random.default_rng(0)
    rows = np.eye(3, 6)[:, None] + random.normal(scale=0.1, size=(3, 9, 6))
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    scores = method(rows[:, :4], rows[:, 4:].reshape(-1, 6))
    assert scores.shape == (15, 3)
    assert scores.argmax(axis=1).tolist() == np.repeat(range(3), 5).tolist()


def test_the_commands_on_real_images(gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table with intervals over prompts, and the same as JSON."""
    common = [
        str(gallery),
        "--embedder",
        "fake:",
        "--store",
        str(tmp_path / "store"),
        "--out",
        str(tmp_path / "o.json"),
    ]
    assert main(["variants", "distances", *common, "--images-per-source", "2"]) == 0
    report = json.loads((tmp_path / "o.json").read_text())
    assert [row["distance"] for row in report["rows"]] == list(DISTANCES)
    assert (report["about"]["groups"], report["about"]["intervals_over"]) == (4, "prompts")
    assert all(row["interval_95"][0] <= row["accuracy"] <= row["interval_95"][1] for row in report["rows"])
    for row in report["rows"]:
        assert sum(row["recall"].values()) / 3 == pytest.approx(row["accuracy"])
        assert all(low <= row["recall"][name] <= high for name, (low, high) in row["recall_interval_95"].items())
    assert main(["variants", "images-per-source", *common]) == 0
    rows = json.loads((tmp_path / "o.json").read_text())["rows"]
    assert [(row["images_per_source"], row["aggregate"], row["images"]) for row in rows] == [
        (1, "mean", 3),
        *((2, name, 6) for name in ("mean", "max", "median")),
    ]
    assert "| γ | mean | max | median | images a query |" in capsys.readouterr().out
    assert main(["variants", "images-per-source", *common, "--images-per-source", "9"]) == 2
    assert main(["variants", "external-scores", *common, "--shots", "99"]) == 2
    assert main(["variants", "images-per-source", *common, "--distance", "taxicab"]) == 2


def test_the_commands_on_a_dataset(fakes: Path, tmp_path: Path) -> None:
    """The sides are used as given; the cost of a query is measured without the cache."""
    common = f"--store {tmp_path / 'store'}"
    made = f"--catalog {fakes} --captioner fake: --processes 1 --sources fake-a,fake-b,fake-c"
    assert main(f"dataset make {tmp_path / 'set'} --characters 20 --images-per-source 2 {common} {made}".split()) == 0
    common += f" {tmp_path / 'set'} --embedder fake: --out {tmp_path / 'o.json'}"
    assert main(f"variants external-scores {common} --shots 1,3 --shot-choices 3".split()) == 0
    report = json.loads((tmp_path / "o.json").read_text())
    expected = [(name, n) for name in external_scores.METHODS for n in (1, 3)]
    assert [(row["method"], row["shots"]) for row in report["rows"]] == expected
    for row in report["rows"]:
        assert row["gain"] == pytest.approx(row["fused"]["accuracy"] - row["alone"]["accuracy"])
        assert 0 <= row["weight"] <= 1
    assert main(f"variants images-per-source {common} --images-per-source 1,2 --timed 1 --catalog {fakes}".split()) == 0
    spent = json.loads((tmp_path / "o.json").read_text())["seconds"]
    assert all(0 < spent[name]["resynthesis"] < spent[name]["all"] for name in ("1", "2"))


def test_a_distance_on_pixels_needs_images(fakes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Commands that work on features name the command that works on pixels."""
    made = f"--store {tmp_path / 'store'} --catalog {fakes} --captioner fake: --processes 1 --sources fake-a,fake-b"
    assert main(f"dataset make {tmp_path / 'set'} --characters 2 {made}".split()) == 0
    assert (
        main(f"evaluate {tmp_path / 'set'} --store {tmp_path / 'store'} --embedder fake: --distances ssim".split()) == 2
    )
    assert "variants distances" in capsys.readouterr().err
