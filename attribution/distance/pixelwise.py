"""Distances between images themselves. They are taken at the embedding stage, where pixels are at hand."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from PIL.Image import Image

from attribution.errors import AttributionError
from attribution.ports import Distance, DistanceName, Distances, Embedded, PixelDistance


@dataclass(frozen=True, slots=True)
class Pixelwise:
    """A named distance. `compare` takes the query and its γ generated images, and gives (γ,)."""

    name: DistanceName
    compare: Callable[[Image, Sequence[Image]], Distances]

    @property
    def on_pixels(self) -> Sequence[PixelDistance]:
        """Itself."""
        return (self,)

    def __call__(self, query: Image, generated_images: Sequence[Image]) -> Distances:
        """(γ,) distances of γ generated images to the query."""
        return self.compare(query, generated_images)

    def among(self, embedded: Embedded) -> Mapping[str, Distances]:
        """What was taken. Raises AttributionError where it was not."""
        if embedded.generated_images and self.name not in embedded.pixels:
            raise AttributionError(f"The pixels were not compared by {self.name} when they were at hand.")
        return embedded.pixels.get(self.name, {})


def compare_pixels(
    distance: Distance, query: Image, generated_images: Mapping[str, Sequence[Image]]
) -> Mapping[str, Mapping[str, Distances]]:
    """What goes into `Embedded.pixels` for this distance: nothing, for one that needs features alone."""
    generated = {source: images for source, images in generated_images.items() if images}
    return {
        each.name: {source: each(query, images) for source, images in generated.items()} for each in distance.on_pixels
    }
