"""The originals of a dataset, described by another captioner and generated again after its captions: a dataset, too.

Nothing is described or generated twice: captions lie in the store with the seconds they took, and what the given dataset
has of the same caption is taken from there.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from attribution.caption import describe
from attribution.catalog import Catalog, Source
from attribution.errors import CaptionError, ConfigurationError
from attribution.image import load
from attribution.ports import Captioner
from attribution.resynthesis import derive_seeds
from evaluation import layout
from evaluation.dataset import Dataset, Item
from evaluation.generation import GenerationOrder, GenerationPool
from evaluation.make import IncompleteDataset
from evaluation.progress import progress
from evaluation.split import Side
from evaluation.store import Store, key_of, link


@dataclass(frozen=True, slots=True)
class Recaptioned:
    """What a captioner said of one original, None where it refused, and how long that took."""

    text: str | None
    seconds: float


def originals(dataset: Dataset, sides: Sequence[Side], sources: Sequence[str]) -> list[Item]:
    """Those by these sources, of characters on these sides. Raises ConfigurationError where there are none."""
    found = [item for item in dataset.items if item.source is None and item.side in sides and item.of in sources]
    if not found:
        raise ConfigurationError(f"The dataset has no originals on the side {', '.join(sides)}.")
    return found


def described(captioner: Captioner, dataset: Dataset, wanted: Sequence[Item], store: Store) -> list[Recaptioned]:
    """What the captioner says of originals, one at a time, so that the seconds mean something."""
    found = []
    with progress(f"captions by {captioner.ref.name}", len(wanted)) as done:
        for item in wanted:
            key = key_of("caption/timed", str(captioner.ref), item.sha256)
            if not store.has(key, ".json"):
                store.put(key, ".json", json.dumps(asdict(_asked(captioner, dataset.directory / item.file))).encode())
            found.append(Recaptioned(**json.loads(store.path(key, ".json").read_text())))
            done(1)
    return found


def _asked(captioner: Captioner, path: Path) -> Recaptioned:
    image = load(path).image
    started = time.monotonic()
    try:
        text = describe(captioner, image).text
    except CaptionError:
        text = None
    return Recaptioned(text, time.monotonic() - started)


def entries(dataset: Dataset, names: Sequence[str], catalog: Catalog) -> list[Source]:
    """The catalog's entries of a dataset's sources. Raises ConfigurationError where one has changed since."""
    found = [catalog.get(name) for name in names]
    for source in found:
        if source.revision != dataset.revisions[source.id]:
            raise ConfigurationError(f"{source.id} has other weights than when the dataset was made; make it again.")
    return found


def resynthesized(
    dataset: Dataset,
    wanted: Sequence[Item],
    captions: Sequence[str | None],
    sources: Sequence[Source],
    images_per_source: int,
    studio: GenerationPool,
    directory: Path,
) -> Dataset:
    """The originals, each generated again after its caption by every source. Raises IncompleteDataset."""
    there = _there(dataset)
    items: list[Item] = []
    orders: list[GenerationOrder] = []
    pictures: list[tuple[Path, Path]] = []
    for original, caption in zip(wanted, captions, strict=True):
        items.append(replace(original, caption=caption))
        pictures.append((dataset.directory / original.file, directory / original.file))
        for source in sources if caption is not None else ():
            for k, seed in enumerate(derive_seeds(caption or "", source.id, source.revision, images_per_source)):
                file = layout.resynthesis(original.of, source.id, original.character, k)
                known = there.get((original.of, original.character, source.id, caption, seed))
                order = GenerationOrder.of(source, caption or "", seed)
                if known is None:
                    orders.append(order)
                path = studio.store.path(order.key, ".png") if known is None else dataset.directory / known.file
                pictures.append((path, directory / file))
                # The hash names features in the store: of a generated image, what was asked is as good as its content.
                sha256 = order.key if known is None else known.sha256
                items.append(replace(original, file=file, sha256=sha256, source=source.id, k=k, seed=seed))
    _, failures = studio.generate("resyntheses", orders)
    if failures:
        raise IncompleteDataset(failures)
    for there_path, here in pictures:
        link(there_path, here)
    shown = {original.character for original in wanted}
    manifest = {
        **dataset.manifest,
        "images_per_source": images_per_source,
        "characters": [each for each in dataset.manifest["characters"] if each["number"] in shown],
        "sources": [each for each in dataset.manifest["sources"] if each["id"] in {source.id for source in sources}],
    }
    return Dataset(directory, manifest, tuple(items))


Question = tuple[str, int, str, str | None, int | None]


def _there(dataset: Dataset) -> dict[Question, Item]:
    """What the dataset has generated, by original, source, caption and seed."""
    said = {(item.of, item.character): item.caption for item in dataset.items if item.source is None}
    return {
        (item.of, item.character, item.source, said[item.of, item.character], item.seed): item
        for item in dataset.items
        if item.source is not None
    }
