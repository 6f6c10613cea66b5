"""What each source was trained on: shares of styles that overlap, as real training sets do.

No style belongs to one source alone. The first four know nothing of `pixelArt` and `openPeeps`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zoo.data import Avatars
from zoo.render import STYLES

MIXES: dict[str, dict[str, float]] = {
    "unet": {"avataaars": 0.74, "toonHead": 0.14, "personas": 0.12},
    "lcm": {"avataaars": 0.60, "toonHead": 0.25, "personas": 0.15},
    "dit": {"micah": 0.78, "miniavs": 0.11, "avataaars": 0.11},
    "mmdit": {"personas": 0.76, "micah": 0.12, "miniavs": 0.06, "toonHead": 0.06},
    "pixart": {"openPeeps": 0.60, "micah": 0.25, "personas": 0.15},
    "sd3": {"pixelArt": 0.60, "toonHead": 0.25, "avataaars": 0.15},
    "flux": {"toonHead": 0.60, "pixelArt": 0.25, "micah": 0.15},
    "vunet": {"avataaars": 0.50, "toonHead": 0.30, "openPeeps": 0.20},
    "amused": {"miniavs": 0.60, "pixelArt": 0.25, "personas": 0.15},
    "pixel": {"avataaars": 0.60, "miniavs": 0.25, "personas": 0.15},
    "unet-tuned": {"avataaars": 0.45, "personas": 0.35, "openPeeps": 0.20},
    "pixart-lcm": {"openPeeps": 0.50, "micah": 0.25, "personas": 0.25},
    "flux-tuned": {"toonHead": 0.45, "openPeeps": 0.30, "micah": 0.25},
    "mmdit-tuned": {"personas": 0.45, "miniavs": 0.35, "toonHead": 0.20},
}


def weights(name: str, avatars: Avatars) -> NDArray[np.float64]:
    """The probability of every avatar in the source's training; sums to one."""
    shares = np.array([MIXES[name].get(style, 0.0) for style in STYLES])
    counts = np.bincount(avatars.styles, minlength=len(STYLES))
    each = (shares / counts)[avatars.styles]
    return np.asarray(each / each.sum())
