"""Paths of images in the layout that the authors of arXiv 2510.24278 publish; ours is the same.

    images/<source>/<00001…><ending>                                 originals, characters counted from 1
    images/<source of the original>/images/<source>/<00001…><ending> resyntheses
    expansion_images/New Tests/<source>/img_<n>.png                  originals of later sources, counted from 0
    expansion_images/Regenerations/<source of the original>/<source>/img_<n>.png

Endings vary by source; the first that exists counts. We write `.png` for an original, and `-0.png`, `-1.png`, … for
its γ resyntheses.
"""

from collections.abc import Iterator
from pathlib import Path

CORE = (
    "bing", "firefly", "flux-dev", "freepik", "imagen",
    "leonardoai", "midjourney", "nightcafe", "stabilityai", "starryai",
)  # fmt: skip
EXTENSION = ("AuraFlow", "Pixart", "Playground", "Tencent_Hunyuan")
_ENDINGS = {
    "bing": (
        "-chrome-0.png", "-firefox-0.png", "-chrome-0.jpg", "-firefox-0.jpg", "chrome-0.png", "-firefox-0.jpeg",
    ),
    "firefly": ("-0.png", "-0.jpg"),
    "imagen": (".jpg",),
    "nightcafe": (".jpg",),
    **dict.fromkeys(("flux-dev", "freepik", "leonardoai", "midjourney", "stabilityai", "starryai"), (".png",)),
}  # fmt: skip
_ANY = (".png", "-0.png", ".jpg", "-0.jpg", ".jpeg", "-0.jpeg", ".webp", "-0.webp")


def original(source: str, number: int) -> str:
    """Our path of an original."""
    return f"images/{source}/{number:05d}.png"


def resynthesis(of: str, source: str, number: int, k: int) -> str:
    """Our path of the k-th resynthesis by `source` of an original by `of`."""
    return f"images/{of}/images/{source}/{number:05d}-{k}.png"


def sources(root: Path) -> list[str]:
    """Sources with originals below `root`: the published ones in the published order, then others by name."""
    folders = [root / "images", root / "expansion_images" / "New Tests"]
    found = {path.name for folder in folders if folder.is_dir() for path in folder.iterdir() if path.is_dir()}
    known = [name for name in (*CORE, *EXTENSION) if name in found]
    return [*known, *sorted(found - set(known))]


def find_original(root: Path, source: str, number: int) -> Path | None:
    """The original of a character, in either part of the dataset."""
    here = _first(root / "images" / source, source, number)
    return here or _existing(root / "expansion_images" / "New Tests" / source / f"img_{number - 1}.png")


def find_resyntheses(root: Path, of: str, source: str, number: int) -> list[Path]:
    """The resyntheses by `source` of an original by `of`; the published dataset has one of each."""
    folder = root / "images" / of / "images" / source
    here = _first(folder, source, number)
    here = here or _existing(root / "expansion_images" / "Regenerations" / of / source / f"img_{number - 1}.png")
    return [here, *_more(here, number)] if here else []


def _first(folder: Path, source: str, number: int) -> Path | None:
    paths = (folder / f"{number:05d}{ending}" for ending in (*_ENDINGS.get(source, ()), *_ANY))
    return next((path for path in paths if path.is_file()), None)


def _more(first: Path, number: int) -> Iterator[Path]:
    """Of `00001-0.png`: `00001-1.png`, `00001-2.png`, … as far as they go."""
    stem, _, k = first.stem.rpartition("-")
    if stem != f"{number:05d}" or k != "0":
        return
    following = 1
    while (path := first.with_name(f"{stem}-{following}{first.suffix}")).is_file():
        yield path
        following += 1


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None
