"""The caller's own images in a generator's place, and the folders that they come from."""

from pathlib import Path

import pytest
from PIL import Image

from attribution.errors import ConfigurationError, ImageError
from attribution.image import encode_png
from attribution.ports import BY_CALLER, Caption, Deadline, ModelRef, Origin, SourceState
from attribution.resynthesis import References, derive_seeds, load_references, resynthesize
from attribution.resynthesis.fake import FakeGenerator


def generated_images(count: int) -> list[Image.Image]:
    """Reference images."""
    seeds = range(1, count + 1)
    generated = FakeGenerator("a", ModelRef("a", "1")).generate("a hat", seeds, Deadline.after(9))
    return [generated_image.image for generated_image in generated]


@pytest.mark.parametrize("count", [1, 3, 16])
def test_all_are_returned_for_any_number_of_seeds(count: int) -> None:
    """All reference images are returned for any γ, without seeds and revision, and with their origin."""
    images = generated_images(count)
    seeds = derive_seeds("a hat", "a", BY_CALLER, 4)
    result = resynthesize(References("a", images), Caption("a hat", ModelRef("x", "1")), seeds, Deadline.after(9))
    assert (result.source, result.revision, result.origin) == ("a", BY_CALLER, Origin.REFERENCE)
    assert [generated_image.image for generated_image in result.generated_images] == images
    assert {generated_image.seed for generated_image in result.generated_images} == {None}


def test_blanks_are_no_generated_images_either_way() -> None:
    """A blank reference image is a refused output."""
    blank = Image.new("RGB", (64, 64))
    caption = Caption("a hat", ModelRef("x", "1"))
    some = resynthesize(References("a", [*generated_images(2), blank]), caption, (1,), Deadline.after(9))
    assert len(some.generated_images) == 2
    none = resynthesize(References("a", [blank]), caption, (1,), Deadline.after(9))
    assert (none.state, none.origin) == (SourceState.REFUSED_OUTPUT, Origin.REFERENCE)


def test_a_folder_is_read_by_name(tmp_path: Path) -> None:
    """Reference images are read in canonical form; hidden files are ignored."""
    images = generated_images(3)
    for name, image in zip(("3.png", "1.png", "2.png"), images, strict=True):
        (tmp_path / name).write_bytes(encode_png(image))
    (tmp_path / ".DS_Store").write_bytes(b"whatever")
    loaded = load_references(tmp_path)
    assert [image.tobytes() for image in loaded] == [images[number].tobytes() for number in (1, 2, 0)]


@pytest.mark.parametrize("count", [0, 17])
def test_a_folder_has_one_to_sixteen(tmp_path: Path, count: int) -> None:
    """A folder with no file, or with too many, is an error."""
    for k in range(count):
        (tmp_path / f"{k}.png").write_bytes(encode_png(generated_images(1)[0]))
    with pytest.raises(ConfigurationError, match=f"{count} files; 1 to 16"):
        load_references(tmp_path)


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    """A file that is not an image is an error that names it."""
    (tmp_path / "1.png").write_bytes(encode_png(generated_images(1)[0]))
    (tmp_path / "notes.txt").write_text("generated on Monday")
    with pytest.raises(ImageError, match=r"notes\.txt: The file is not an image"):
        load_references(tmp_path)
    with pytest.raises(OSError, match="nowhere"):
        load_references(tmp_path / "nowhere")
