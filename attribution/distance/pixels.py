"""Distances between pixels, computed in the embedding stage, where the images are in memory.

SSIM (Wang et al. 2004) is arXiv 2403.01489's distance on pixels: of the luminance, with Wang's Gaussian window of 1.5
pixels. Images of different sizes are fitted as the embedder does it: the shorter side becomes 256 pixels, which
follows from Wang's scaling rule, and the longer side is cropped to its middle.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import ImageOps
from PIL.Image import Image, Resampling

from attribution.errors import AttributionError, ConfigurationError
from attribution.ports import Distance, DistanceName, Distances, Embedded, PixelDistance

_SIDE = 256


@dataclass(frozen=True, slots=True)
class Pixelwise:
    """A named distance. `compare` takes the query and its γ generated images and returns (γ,) distances."""

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
        """Per source, the (γ,) distances computed earlier. Raises AttributionError where they were not computed."""
        if embedded.generated_images and self.name not in embedded.pixels:
            raise AttributionError(
                f"There are no {self.name} distances: compute them with compare_pixels while embedding."
            )
        return embedded.pixels.get(self.name, {})


def compare_pixels(
    distance: Distance, query: Image, generated_images: Mapping[str, Sequence[Image]]
) -> Mapping[str, Mapping[str, Distances]]:
    """The value of `Embedded.pixels` for this distance: empty for one that needs only features."""
    generated = {source: images for source, images in generated_images.items() if images}
    return {
        each.name: {source: each(query, images) for source, images in generated.items()} for each in distance.on_pixels
    }


def ssim(query: Image, generated_images: Sequence[Image]) -> Distances:
    """(γ,) distances 1 − SSIM, from 0 to 2. Raises ConfigurationError where scikit-image is not installed."""
    try:
        from skimage.metrics import structural_similarity
    except ImportError as error:
        raise ConfigurationError(
            "SSIM needs scikit-image: install the package with its [ml] or [onnx] extra, or compare features alone."
        ) from error
    compare: Callable[..., float] = partial(
        structural_similarity, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    reference = luminance(query)
    return np.array(
        [1 - compare(reference, luminance(generated_image)) for generated_image in generated_images], np.float64
    )


def luminance(image: Image) -> NDArray[np.float32]:
    """(256, 256) luminance, from 0 to 1."""
    square = ImageOps.fit(image.convert("L"), (_SIDE, _SIDE), Resampling.BICUBIC)
    return np.asarray(square, np.float32) / np.float32(255)


PIXELWISE: Mapping[str, Pixelwise] = {DistanceName.SSIM: Pixelwise(DistanceName.SSIM, ssim)}
