"""How much is measured: the papers' size, and one so small that a test does all of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evaluation.paths import WORK

_TEN = (
    "zoo-unet", "zoo-lcm", "zoo-dit", "zoo-mmdit", "zoo-vunet", "zoo-pixart", "zoo-sd3", "zoo-flux", "zoo-amused",
    "zoo-pixel",
)  # fmt: skip
_RELATIVES = ("zoo-unet-tuned", "zoo-pixart-lcm", "zoo-flux-tuned", "zoo-mmdit-tuned")


@dataclass(frozen=True, slots=True)
class Size:
    """One plan's extent. `sources` are ids or patterns; `classes` are numbers of sources, from the first of `order`."""

    work: Path
    characters: int
    seed: int
    sources: str
    order: tuple[str, ...]
    classes: tuple[int, ...]
    images_per_source: int
    core_images_per_source: int | None  # of all characters, but by the fewest classes only; None: not done
    timed: int
    shots: tuple[int, ...]
    plugged: tuple[int, ...]  # shots of what resynthesis is plugged into
    shot_choices: int
    repeats: int
    steps: int | None  # of a training at most; None: what each baseline takes by itself
    captioners: tuple[str, ...]
    embedders: tuple[str, ...]
    check: bool = False


@dataclass(frozen=True, slots=True)
class Real:
    """Images by real generators (MODEL/PROMPT__NUMBER.png), and the embedder that compares them."""

    folder: Path
    embedder: str


FULL = Size(
    work=WORK,
    characters=100,
    seed=2026,
    sources="zoo-*",
    order=_TEN + _RELATIVES,
    classes=(10, 12, 14),
    images_per_source=8,
    core_images_per_source=4,
    timed=2,
    shots=(1, 2, 3, 5, 8, 10, 20, 40, 80),
    plugged=(1, 5, 10),
    shot_choices=20,
    repeats=5,
    steps=None,
    captioners=("given", "blip", "pez", "blip+pez"),
    embedders=(
        "open_clip", "open_clip#layer=1", "open_clip#layer=1,pool=mean", "open_clip#layer=2",
        "open_clip#layer=2,pool=mean", "open_clip#layer=3", "open_clip#layer=3,pool=mean", "onnx",
    ),
    check=True,
)  # fmt: skip
SMALL = Size(
    work=WORK / "small",
    characters=10,
    seed=0,
    sources="zoo-dit,zoo-lcm,zoo-mmdit,zoo-unet",
    order=("zoo-dit", "zoo-lcm", "zoo-mmdit", "zoo-unet"),
    classes=(3, 4),
    images_per_source=2,
    core_images_per_source=None,
    timed=1,
    shots=(1, 2),
    plugged=(1,),
    shot_choices=2,
    repeats=2,
    steps=2,
    captioners=(
        "given",
        "blip",
        "pez:local-dir:zoo/models/clip?steps=10",
        "blip+pez:zoo/models/captioner?steps=5",
    ),
    embedders=("open_clip", "open_clip#layer=1", "onnx"),
)
SIZES: Mapping[str, Size] = {"full": FULL, "small": SMALL}
