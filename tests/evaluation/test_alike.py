"""Images made alike: borders, sizes and formats that reveal a source are gone, and results record that they are."""

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attribution.embed.fake import FakeEmbedder
from evaluation.alike import alike
from evaluation.cli import main
from evaluation.real import Gallery
from evaluation.store import Store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two models with the very same images, but one signs at every edge and saves them as JPEG."""
    random = np.random.default_rng(0)
    for model in ("plain", "signed"):
        (tmp_path / "real" / model).mkdir(parents=True)
    for prompt in ("a-cat", "a-dog", "a-hat"):
        for number in (1, 2, 3):
            image = Image.new("RGB", (200, 100), tuple(int(value) for value in random.integers(40, 200, 3)))
            image.save(tmp_path / "real" / "plain" / f"{prompt}__{number}.png")
            signed = Image.new("RGB", image.size, "red")
            signed.paste(image.crop((6, 8, 194, 92)), (6, 8))
            signed.save(tmp_path / "real" / "signed" / f"{prompt}__{number}.jpg", quality=100, subsampling=0)
    return tmp_path / "real"


def test_the_middle_square_stays_and_the_edges_go() -> None:
    """Of 1000×500 pixels 30 go at the sides and 40 above and below; of the rest the square from 290 to 710 stays."""
    image = Image.new("RGBA", (1000, 500), "black")
    image.paste("red", (290, 40, 710, 460))
    image.paste("white", (300, 50, 700, 450))
    with Image.open(BytesIO(alike(image))) as made:
        assert (made.format, made.mode, made.size) == ("JPEG", "RGB", (256, 256))
        reds = {(made.width // 2, 2), (2, made.height // 2), (253, made.height // 2), (made.width // 2, 253)}
        assert all(np.abs(np.subtract(np.asarray(made.getpixel(at)), (255, 0, 0))).max() < 60 for at in reds)
        assert made.getpixel((128, 128)) == (255, 255, 255)


def test_an_image_of_one_pixel_has_a_middle() -> None:
    """It becomes a flat square."""
    with Image.open(BytesIO(alike(Image.new("RGB", (1, 1), "white")))) as made:
        assert made.getextrema() == ((255, 255),) * 3


def test_signatures_reveal_nothing_when_images_are_alike(folder: Path, tmp_path: Path) -> None:
    """As they are, the models' features differ; made alike they are nearly the same, and the files stay stored."""
    gallery, store, embedder = Gallery.open(folder), Store(tmp_path / "store"), FakeEmbedder()
    plain, signed = gallery.features(embedder, store).originals
    assert np.abs(plain - signed).max() > 0.1
    same = gallery.alike(store)
    plain, signed = same.features(embedder, store).originals
    assert np.abs(plain - signed).max() < 0.02
    paths = [picture.path for row in same.queries for picture in row]
    assert [path.name for path in paths] == [
        picture.path.name for row in gallery.alike(store).queries for picture in row
    ]
    assert (gallery.models, gallery.prompts, gallery.groups) == (same.models, same.prompts, same.groups)


@pytest.mark.parametrize(
    "command",
    [
        "variants distances FOLDER --embedder fake:",
        "variants external-scores FOLDER --embedder fake: --shots 1 --shot-choices 1",
        "embedders FOLDER fake:",
        "distortions FOLDER --embedder fake: --distortions hsv",
    ],
)
def test_results_record_whether_images_were_made_alike(folder: Path, tmp_path: Path, command: str) -> None:
    """True with --alike, False without."""
    arguments = command.replace("FOLDER", str(folder)).split()
    recorded = []
    for more in ([], ["--alike"]):
        out = tmp_path / "out.json"
        assert main([*arguments, *more, "--store", str(tmp_path / "store"), "--out", str(out)]) == 0
        document = json.loads(out.read_text())
        recorded.append(document.get("about", document)["alike"])
        assert ("--alike" in document["made"]["command"]) == bool(more)
    assert recorded == [False, True]


def test_a_dataset_is_not_made_alike(fakes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence gives the reason and what to do."""
    made = f"--store {tmp_path / 'store'} --catalog {fakes} --captioner fake: --processes 1 --sources fake-a,fake-b"
    assert main(f"dataset make {tmp_path / 'set'} --characters 2 {made}".split()) == 0
    for command in ("variants distances", "distortions"):
        arguments = f"{command} {tmp_path / 'set'} --embedder fake: --store {tmp_path / 'store'} --alike"
        assert main(arguments.split()) == 2
        assert "leave out --alike" in capsys.readouterr().err
