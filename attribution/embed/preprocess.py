"""The preprocessing of images for a model, with Pillow and numpy only, without torch.

The numbers are equal, to the bit, to those of open_clip's transforms; the exporter compares both before it writes.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageOps
from PIL.Image import Image, Resampling

from attribution.errors import ConfigurationError

_FILTERS = {"bicubic": Resampling.BICUBIC, "bilinear": Resampling.BILINEAR}
_MODES = ("shortest", "longest", "squash")


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Resize to `size` (height, width), crop or pad, then (x / 255 − mean) / std by channel.

    `resize_mode` says which side is made to fit: the shortest (the rest is cropped), the longest (the rest is padded
    with `fill_color`), or both (squash).
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"
    fill_color: int = 0

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "Preprocessing":
        """From JSON's values, or open_clip's configuration. Raises ConfigurationError if it is not supported."""
        try:
            size = values["size"]
            height, width = (size, size) if isinstance(size, int) else size
            found = cls(
                size=(int(height), int(width)),
                mean=tuple(map(float, values["mean"])),
                std=tuple(map(float, values["std"])),
                interpolation=str(values.get("interpolation", "bicubic")),
                resize_mode=str(values.get("resize_mode", "shortest")),
                fill_color=int(values.get("fill_color", 0)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"How images are to be prepared cannot be read: {error!r}.") from error
        if found.interpolation not in _FILTERS or found.resize_mode not in _MODES or not len(found.mean) == 3:
            raise ConfigurationError(f"Images cannot be prepared like this here: {found}.")
        if found.resize_mode == "shortest" and height != width:
            raise ConfigurationError(f"Images cannot be cropped to {width}×{height} here: only squares are known.")
        return found

    def values(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def prepare(self, images: Sequence[Image], threads: ThreadPoolExecutor) -> NDArray[np.float32]:
        """(n, 3, h, w). Pillow and numpy release the interpreter lock, so images are prepared in parallel."""
        return np.stack(list(threads.map(self.pixels, images)))

    def pixels(self, image: Image) -> NDArray[np.float32]:
        """(3, h, w)."""
        pixels = self.resize(image).transpose(2, 0, 1).astype(np.float32, order="C")
        pixels /= 255
        pixels -= np.asarray(self.mean, np.float32)[:, None, None]
        pixels /= np.asarray(self.std, np.float32)[:, None, None]
        return pixels

    def resize(self, image: Image) -> NDArray[np.uint8]:
        """(h, w, 3)."""
        image = image.convert("RGB")
        height, width = self.size
        if self.resize_mode == "squash":
            return np.asarray(self._to(image, (width, height)))
        if self.resize_mode == "shortest":
            short, long = sorted(image.size)
            fitted = (height, int(height * long / short))
            size = fitted if image.width <= image.height else fitted[::-1]
            return np.asarray(_centered(self._to(image, size), width))
        ratio = max(image.height / height, image.width / width)
        image = self._to(image, (round(image.width / ratio), round(image.height / ratio)))
        left, top = (width - image.width) // 2, (height - image.height) // 2
        border = (left, top, width - image.width - left, height - image.height - top)
        return np.asarray(ImageOps.expand(image, border, (self.fill_color,) * 3))

    def _to(self, image: Image, size: tuple[int, int]) -> Image:
        return image if image.size == size else image.resize(size, _FILTERS[self.interpolation])


def _centered(image: Image, side: int) -> Image:
    """The square in the middle; halves are rounded to even, as Python and torchvision do."""
    left, top = round((image.width - side) / 2), round((image.height - side) / 2)
    return image.crop((left, top, left + side, top + side))
