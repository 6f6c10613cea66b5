"""`python -m attribution`: a table or JSON; a mistake is one sentence and exit code 2."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from attribution.image import encode_png
from attribution.ports import Deadline, ModelRef
from attribution.resynthesis.fake import FakeGenerator
from tests.attribution.command_line import main

ENTRY = """
schema = 1
id = "{id}"
name = "Fake {id}"
enabled = {enabled}
family = "fake"
platform = "local"
model = "fake/{id}"
revision = "1"
license = "Apache-2.0"
memory_mb = 1
adapter = "fake"
[lifecycle]
{lifecycle}
[parameters]
{parameters}
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a query that fake b generated, and a catalog of fakes."""
    (tmp_path / "sources").mkdir()
    for name, enabled, lifecycle, parameters in [
        ("a", "true", "", ""),
        ("b", "true", "", ""),
        ("broken", "false", "", 'fail = "unavailable"'),
        ("gone", "false", 'state = "retired"\nsince = 2025-01-01', ""),
    ]:
        text = ENTRY.format(id=name, enabled=enabled, lifecycle=lifecycle, parameters=parameters)
        (tmp_path / "sources" / f"{name}.toml").write_text(text)
    query = FakeGenerator("b", ModelRef("b", "1")).generate("a hat", (99,), Deadline.after(9))[0].image
    (tmp_path / "query.jpg").write_bytes(encode_png(query))
    return tmp_path


def _run(place: Path, *more: str, image: str = "query.jpg") -> int:
    fakes = ["--captioner", "fake:", "--embedder", "fake:", "--catalog", str(place / "sources")]
    return main(["attribute", str(place / image), *fakes, *more])


def test_the_table_names_the_nearest(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table contains the caption, the ranking, the margin and the verdict."""
    assert _run(place, "--prompt", "a hat") == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert printed.err == ""
    assert lines[0] == "caption   a hat"
    assert [line.split()[1] for line in lines if line.strip()[:2] in ("1.", "2.")] == ["b", "a"]
    assert "verdict   inconclusive (uncalibrated)" in lines


def test_untested_sources_say_why(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A retired source and a failing one are below the ranking, with their sentences."""
    assert _run(place, "--sources", "a,b,broken,gone") == 0
    printed = capsys.readouterr().out
    assert "broken  unavailable: The fake source cannot be reached." in printed
    assert "gone    retired: Fake gone was switched off on 2025-01-01." in printed


def test_json_has_everything_to_reproduce_it(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Caption, models, revisions, seeds, distances and verdict, as one JSON document."""
    assert (
        _run(place, "--json", "--images-per-source", "2", "--prompt", "a hat", "--seed", "7", "--exclude", "broken")
        == 0
    )
    document = json.loads(capsys.readouterr().out)
    assert document["caption"] == {"text": "a hat", "captioner": "given@by-caller"}
    assert document["embedder"] == "fake-embedder@1"
    assert [len(source["seeds"]) for source in document["sources"]] == [2, 2]
    assert document["ranking"]["entries"][0]["source"] == "b"
    assert len(document["ranking"]["entries"][0]["distances"]) == 2
    assert document["verdict"]["reason"] == "uncalibrated"


@pytest.fixture
def generated(place: Path) -> Path:
    """A folder of reference images of the retired source, which look like those of b."""
    folder = place / "generated"
    folder.mkdir()
    for generated_image in FakeGenerator("b", ModelRef("b", "1")).generate("a hat", (1, 2, 3), Deadline.after(9)):
        (folder / f"{generated_image.seed}.png").write_bytes(encode_png(generated_image.image))
    return folder


def test_reference_images_are_ranked_with_generators(
    place: Path, generated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A retired source is ranked by its reference images, and marked; the others generate as usual."""
    assert _run(place, "--reference", f"gone={generated}", "--exclude", "b") == 0
    lines = capsys.readouterr().out.splitlines()
    ranked = [line for line in lines if line.strip()[:2] in ("1.", "2.")]
    assert [line.split()[1] for line in ranked] == ["gone", "a"]
    assert [line.endswith("(your reference images)") for line in ranked] == [True, False]
    assert "verdict   inconclusive (uncalibrated)" in lines


def test_a_run_may_consist_of_references_only(place: Path, generated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sources with reference images do not generate; the JSON states the origin of the images."""
    references = ["--reference", f"gone={generated}", "--reference", f"broken={generated}"]
    assert _run(place, "--json", "--sources", "gone,broken", *references) == 0
    document = json.loads(capsys.readouterr().out)
    assert [(each["source"], each["origin"], each["state"], each["seeds"]) for each in document["sources"]] == [
        (name, "reference", "done", [None] * 3) for name in ("broken", "gone")
    ]
    assert document["verdict"]["reason"] == "tie"


def test_caption_only(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--caption-only` prints the same caption as a whole run, and nothing else."""
    assert _run(place, "--caption-only") == 0
    caption = capsys.readouterr().out
    assert _run(place) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"caption   {caption.strip()}"


def test_evidence_is_below_the_ranking(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Evidence is a line with its caveat, or JSON; it does not change the ranking."""
    assert _run(place, "--json") == 0
    plain = json.loads(capsys.readouterr().out)
    text = PngInfo()
    text.add_text("parameters", "a hat\nSteps: 20, Seed: 7, Model: dreamshaper")
    with Image.open(place / "query.jpg") as image:
        image.save(place / "says.png", pnginfo=text)
    assert _run(place, "--json", image="says.png") == 0
    document = json.loads(capsys.readouterr().out)
    assert [finding["model"] for finding in document.pop("evidence")] == ["dreamshaper"]
    assert plain.pop("evidence") == []
    assert document["ranking"] == plain["ranking"]
    assert _run(place, image="says.png") == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(
        "evidence  PNG text parameters: Names AUTOMATIC1111 or a compatible tool, model dreamshaper."
    )
    assert "(self_declared: Anyone can write" in last


@pytest.mark.parametrize(
    ("arguments", "image", "message"),
    [
        (["--trust-list", "/no/such/list"], "query.jpg", "/no/such/list"),
        ([], "sources/a.toml", "not an image"),
        ([], "nowhere.png", "nowhere.png"),
        (["--sources", "a,zzz"], "query.jpg", "zzz"),
        (["--captioner", "blimp:x"], "query.jpg", "blimp"),
        (["--catalog", "/no/such/place"], "query.jpg", "/no/such/place"),
        (["--calibration", "/no/such/file"], "query.jpg", "/no/such/file"),
        (["--reference", "gone=/no/such/folder"], "query.jpg", "/no/such/folder"),
        (["--reference", "zzz=sources"], "query.jpg", "sources"),
        (["--reference", "gone=docs/decisions", "--exclude", "gone"], "query.jpg", "gone"),
    ],
)
def test_mistakes_are_one_sentence(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], image: str, message: str
) -> None:
    """A mistake is one line on stderr and exit code 2, without a traceback."""
    assert _run(place, *arguments, image=image) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert message in printed.err


def test_options_are_checked(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Invalid options are refused with exit code 2 and the usage."""
    for wrong in (
        ["--reference", "generated_images"],
        ["--images-per-source", "0"],
        ["--distance", "far"],
        ["--batch-size", "x"],
    ):
        assert _run(place, *wrong) == 2
        assert "Usage" in capsys.readouterr().err


def test_unexpected_failures_are_on_stderr(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected exception is named on stderr and not in the table."""
    monkeypatch.setattr(FakeGenerator, "generate", lambda *_: 1 / 0)
    assert _run(place) == 0
    printed = capsys.readouterr()
    assert "ZeroDivisionError" in printed.err
    assert "ZeroDivisionError" not in printed.out


def test_it_is_a_command(place: Path) -> None:
    """`python -m attribution` runs the command line."""
    command = [sys.executable, "-W", "error", "-m", "attribution", "attribute", "--help"]
    assert "--images-per-source" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
