"""1 − SSIM, the structural similarity of two images (Wang et al. 2004): arXiv 2403.01489's distance on pixels.

Of the luminance, with Wang's Gaussian window of 1.5 pixels. Images of different sizes are brought together as the
embedder does it: the shorter side becomes 256, which is what Wang's own scaling rule comes to, and of the longer one
the middle is kept. From 0 to 2.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import ImageOps
from PIL.Image import Image, Resampling

from attribution.errors import ConfigurationError
from attribution.ports import Distances

_SIDE = 256


def ssim(query: Image, generated_images: Sequence[Image]) -> Distances:
    """(γ,) distances. Raises ConfigurationError where scikit-image is missing: it comes with [ml] and [onnx]."""
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
    """(256, 256), from 0 to 1."""
    square = ImageOps.fit(image.convert("L"), (_SIDE, _SIDE), Resampling.BICUBIC)
    return np.asarray(square, np.float32) / np.float32(255)
