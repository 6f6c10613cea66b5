"""Reference images: images that the caller uploads for a source, in place of a generator.

They stand for what the source generated from the caption; only the caller can know whether that is true.
"""

from collections.abc import Sequence
from pathlib import Path

from PIL.Image import Image

from attribution.errors import ConfigurationError, ImageError
from attribution.image import load
from attribution.ports import BY_CALLER, MOST_REFERENCES, Deadline, GeneratedImage, ModelRef


class References:
    """Returns the same images for any number of seeds; their own seeds are unknown."""

    def __init__(self, source: str, images: Sequence[Image]) -> None:
        self._source = source
        self._generated_images = tuple(GeneratedImage(image, None) for image in images)

    @property
    def source(self) -> str:
        """The source's id in the catalog."""
        return self._source

    @property
    def ref(self) -> ModelRef:
        """Not the catalog's revision: which revision generated the images is unknown."""
        return ModelRef("reference", BY_CALLER)

    def generate(self, prompt: str, seeds: Sequence[int], deadline: Deadline) -> tuple[GeneratedImage, ...]:
        """All of them."""
        return self._generated_images


def load_references(folder: Path) -> tuple[Image, ...]:
    """The 1 to 16 images of a folder in canonical form, by file name; hidden files are ignored.

    Raises ConfigurationError if there are fewer or more, ImageError that names a file which is not an image, and
    OSError.
    """
    files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    if not 1 <= len(files) <= MOST_REFERENCES:
        raise ConfigurationError(
            f"{folder} has {len(files)} files; 1 to {MOST_REFERENCES} images of a source are needed."
        )
    return tuple(map(_load, files))


def _load(file: Path) -> Image:
    try:
        return load(file).image
    except ImageError as error:
        raise type(error)(f"{file}: {error}") from error
