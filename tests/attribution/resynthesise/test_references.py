"""The caller's own images in a generator's place, and the folders that they come from."""

from pathlib import Path

import pytest
from PIL import Image

from attribution.errors import ConfigurationError, ImageError
from attribution.image import encode_png
from attribution.ports import BY_CALLER, Caption, Deadline, ModelRef, Origin, SourceState
from attribution.resynthesise import References, derive_seeds, load_references, resynthesise
from attribution.resynthesise.fake import FakeGenerator


def drawings(count: int) -> list[Image.Image]:
    """What somebody had drawn."""
    seeds = range(1, count + 1)
    drawn = FakeGenerator("a", ModelRef("a", "1")).draw("a hat", seeds, Deadline.after(9))
    return [drawing.image for drawing in drawn]


@pytest.mark.parametrize("count", [1, 3, 16])
def test_all_are_brought_however_many_are_asked_for(count: int) -> None:
    """γ is the caller's; there are no seeds, no revision that anybody knows, and the result says whose they are."""
    images = drawings(count)
    seeds = derive_seeds("a hat", "a", BY_CALLER, 4)
    result = resynthesise(References("a", images), Caption("a hat", ModelRef("x", "1")), seeds, Deadline.after(9))
    assert (result.source, result.revision, result.origin) == ("a", BY_CALLER, Origin.REFERENCE)
    assert [drawing.image for drawing in result.drawings] == images
    assert {drawing.seed for drawing in result.drawings} == {None}


def test_blanks_are_no_drawings_either_way() -> None:
    """What a safety filter left would poison the distance, whoever brings it."""
    blank = Image.new("RGB", (64, 64))
    caption = Caption("a hat", ModelRef("x", "1"))
    some = resynthesise(References("a", [*drawings(2), blank]), caption, (1,), Deadline.after(9))
    assert len(some.drawings) == 2
    none = resynthesise(References("a", [blank]), caption, (1,), Deadline.after(9))
    assert (none.state, none.origin) == (SourceState.REFUSED_OUTPUT, Origin.REFERENCE)


def test_a_folder_is_read_by_name(tmp_path: Path) -> None:
    """In the canonical form of any image that comes in; hidden files are the desktop's own."""
    images = drawings(3)
    for name, image in zip(("3.png", "1.png", "2.png"), images, strict=True):
        (tmp_path / name).write_bytes(encode_png(image))
    (tmp_path / ".DS_Store").write_bytes(b"whatever")
    loaded = load_references(tmp_path)
    assert [image.tobytes() for image in loaded] == [images[number].tobytes() for number in (1, 2, 0)]


@pytest.mark.parametrize("count", [0, 17])
def test_a_folder_has_one_to_sixteen(tmp_path: Path, count: int) -> None:
    """None are none, and too many are not taken in part."""
    for k in range(count):
        (tmp_path / f"{k}.png").write_bytes(encode_png(drawings(1)[0]))
    with pytest.raises(ConfigurationError, match=f"{count} files; bring 1 to 16"):
        load_references(tmp_path)


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    """Nothing in the folder is passed over silently."""
    (tmp_path / "1.png").write_bytes(encode_png(drawings(1)[0]))
    (tmp_path / "notes.txt").write_text("drawn on Monday")
    with pytest.raises(ImageError, match=r"notes\.txt: The file is not an image"):
        load_references(tmp_path)
    with pytest.raises(OSError, match="nowhere"):
        load_references(tmp_path / "nowhere")
