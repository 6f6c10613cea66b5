"""The robustness command: on a dataset, on a folder of images by real generators, and the figures it makes."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attribution.build import Placement, build_embedder
from attribution.errors import ConfigurationError
from evaluation.cli import main
from evaluation.queries import ratio_interval
from evaluation.real import Gallery
from evaluation.store import Store

CLIP = Path(__file__).parents[3] / "zoo/models/clip"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two models, two prompts, three images each: one model paints in red, the other in blue."""
    random = np.random.default_rng(0)
    for model, color in (("red", 0), ("blue", 2)):
        for prompt in ("a-cat", "a-dog"):
            for number in (1, 2, 3):
                pixels = random.integers(0, 40, (32, 32, 3), dtype=np.uint8)
                pixels[..., color] += 200
                (tmp_path / "real" / model).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(tmp_path / "real" / model / f"{prompt}__{number}.png")
    return tmp_path / "real"


def test_real_images_are_compared_with_others_of_their_prompt(folder: Path, tmp_path: Path) -> None:
    """Query i of a model meets i + 1, i + 2, … of every model after the same prompt, and never itself."""
    gallery = Gallery.open(folder)
    embedder = build_embedder("fake:", Placement())
    features = gallery.features(embedder, Store(tmp_path / "store"))
    assert (gallery.models, gallery.prompts, gallery.groups) == (
        ("blue", "red"),
        ("a-cat", "a-dog"),
        [0, 0, 0, 1, 1, 1],
    )
    assert (features.originals.shape, features.resyntheses.shape) == ((2, 6, 64), (2, 6, 2, 2, 64))
    for query in range(6):
        others = [3 * (query // 3) + (query + 1 + k) % 3 for k in range(2)]
        for source in range(2):
            generated = features.resyntheses[:, query, source]
            assert np.array_equal(generated, np.stack([features.originals[source, others]] * 2))
            assert query not in others


def test_missing_images_are_an_error(folder: Path) -> None:
    """A model with fewer of a prompt than the others has nothing to be compared with."""
    (folder / "red" / "a-dog__3.png").unlink()
    with pytest.raises(ConfigurationError, match="as many of each"):
        Gallery.open(folder)


def test_the_command_reports_shares_with_intervals(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Grayscale takes from a color histogram all it has, a smaller copy nothing; both as JSON and as a table."""
    out, table, store = tmp_path / "out.json", tmp_path / "out.md", tmp_path / "store"
    common = f"distortions {folder} --embedder fake: --store {store} --out {out} --markdown {table}"
    assert (
        main(f"{common} --images-per-source 1,2 --distortions grayscale,size-50 --captioner fake:prefix=it".split()) == 0
    )
    runs = json.loads(out.read_text())["runs"]
    assert [(run["images_per_source"], run["rows"][0]["distortion"]) for run in runs] == [
        (1, "grayscale"), (1, "size-50"), (2, "grayscale"), (2, "size-50"),
    ]  # fmt: skip
    gray, smaller = runs[0]["rows"][0], runs[1]["rows"][0]
    assert (runs[0]["queries"], runs[0]["groups"], runs[0]["clean_accuracy"]) == (12, 2, 1.0)
    assert gray["share_of_clean"] == gray["same_answer"] == 0.5, "one of two sources is always the nearest"
    assert smaller["share_interval_95"] == [1.0, 1.0]
    assert ("same_caption" in gray, smaller["same_caption"]) == (False, 1.0)
    assert "| grayscale | to L and back | 50.0 % | 50.0 % (50.0 % to 50.0 %)" in table.read_text()
    assert table.read_text().split("\n\n")[0] in capsys.readouterr().out


def test_feature_spaces_stand_side_by_side(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On the same queries: a row for each, with how often it answers as the first does."""
    out = tmp_path / "out.json"
    assert main(f"embedders {folder} fake: fake:levels=2 --store {tmp_path / 'store'} --out {out}".split()) == 0
    first, second = json.loads(out.read_text())["rows"]
    assert (first["embedder"], first["dimension"], second["dimension"]) == ("fake-embedder@1", 64, 8)
    assert (first["accuracy"], first["interval_95"], second["same_answer_as_first"]) == (1.0, [1.0, 1.0], 1.0)
    assert "| fake-embedder | 8 | 1 | 100.0 % (100.0 to 100.0) | 100.0 % |" in capsys.readouterr().out


def test_the_attack_runs_where_there_are_gradients(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """The attack needs an open_clip embedder: with another it is an error, and so is an unknown distortion."""
    for path in folder.glob("*/*"):
        if path.stem not in ("a-cat__1", "a-cat__2"):
            path.unlink()
    common = f"distortions {folder} --store {tmp_path / 'store'} --out {tmp_path / 'out.json'}"
    assert main(f"{common} --distortions pgd --embedder open_clip:local-dir:{CLIP}".split()) == 0
    (run,) = json.loads((tmp_path / "out.json").read_text())["runs"]
    assert run["rows"][0]["mean_cosine"] < 0.9995
    assert main(f"{common} --distortions pgd --embedder fake:".split()) == 2
    assert main(f"{common} --distortions fog".split()) == 2
    assert "There is no distortion fog" in capsys.readouterr().err


def test_intervals_follow_groups_and_not_queries() -> None:
    """Queries that share a group fall together: the interval is that of two groups, not of twenty queries."""
    right = np.array([[True] * 10 + [False] * 10])
    clean = np.ones_like(right)
    assert ratio_interval(right, clean, np.repeat([0, 1], 10)) == [0.0, 1.0]
    low, high = ratio_interval(right, clean, np.arange(20))
    assert 0.25 <= low < 0.5 < high <= 0.75
