"""Makes a dataset of images in the published layout: `python -m evaluation import images`."""

from dataclasses import replace
from pathlib import Path

from attribution.errors import ConfigurationError
from evaluation import layout
from evaluation.characters import SEED, sides
from evaluation.dataset import Dataset, Item
from evaluation.store import digest, link


def import_images(root: Path, directory: Path, sources: tuple[str, ...] | None = None) -> Dataset:
    """Links (or copies) all images below `root` into `directory`. Raises ConfigurationError where originals lack.

    Sources with only some characters are the extension. Missing resyntheses are left out: evaluation uses only complete
    characters.
    """
    names = sources or tuple(layout.sources(root))
    if not names:
        raise ConfigurationError(f"There are no images in {root}: expected folders like {root}/images/<source>.")
    numbers = _numbers(root, names)
    by_side = {numbers[at]: side for side, places in sides(len(numbers)).items() for at in places}
    items: list[Item] = []
    generated: dict[str, int] = dict.fromkeys(names, 0)
    most = 0
    for of in names:
        for number in numbers:
            original = layout.find_original(root, of, number)
            if original is None:
                continue
            generated[of] += 1
            file = _linked(original, directory, layout.original(of, number))
            about = Item(file, digest(original), number, by_side[number], of)
            items.append(about)
            for source in names:
                found = layout.find_resyntheses(root, of, source, number)
                most = max(most, len(found))
                for k, path in enumerate(found):
                    file = _linked(path, directory, layout.resynthesis(of, source, number, k))
                    items.append(replace(about, file=file, sha256=digest(path), source=source, k=k))
    missing = [name for name in names if not generated[name]]
    if missing:
        raise ConfigurationError(f"There are no originals by {', '.join(missing)} below {root}.")
    manifest = {
        "kind": "imported",
        "from": root.name,
        "images_per_source": most,
        "captioner": "unknown",
        # A character is known only by its number, which the layout assigns.
        "characters": [
            {"number": number, "name": f"character {number}", "description": str(number), "side": by_side[number]}
            for number in numbers
        ],
        "split_seed": SEED,
        "sources": [
            {
                "id": name,
                "name": name,
                "part": "core" if generated[name] == len(numbers) else "extension",
                "revision": "unknown",
            }
            for name in names
        ],
    }
    return Dataset.save(directory, manifest, items)


def _numbers(root: Path, names: tuple[str, ...]) -> list[int]:
    """Characters are counted without gaps; the split depends on how many there are."""
    count = 0
    while any(layout.find_original(root, name, count + 1) for name in names):
        count += 1
    if count == 0:
        raise ConfigurationError(f"There is no original of character 1 below {root}: numbers start at 00001.")
    return list(range(1, count + 1))


def _linked(path: Path, directory: Path, ours: str) -> str:
    file = str(Path(ours).with_suffix(path.suffix))
    link(path, directory / file)
    return file
