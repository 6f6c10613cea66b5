"""A dataset's originals with the captions of another captioner and resyntheses of these captions: a dataset, too.

Nothing is computed twice: captions are stored with their seconds, and resyntheses of the same caption are taken from
the given dataset.
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
from evaluation.characters import Side
from evaluation.dataset import Dataset, Item
from evaluation.generation import GenerationOrder, GenerationPool
from evaluation.make import IncompleteDataset
from evaluation.processes import progress
from evaluation.store import Store, key_of, link


@dataclass(frozen=True, slots=True)
class Recaptioned:
    """A captioner's caption of one original, None where it refused, and the seconds it took."""

    text: str | None
    seconds: float


def originals(dataset: Dataset, sides: Sequence[Side], sources: Sequence[str]) -> list[Item]:
    """Those by these sources, of characters on these sides. Raises ConfigurationError where there are none."""
    found = [item for item in dataset.items if item.source is None and item.side in sides and item.of in sources]
    if not found:
        raise ConfigurationError(f"The dataset has no originals on the side {', '.join(sides)}.")
    return found


def described(captioner: Captioner, dataset: Dataset, wanted: Sequence[Item], store: Store) -> list[Recaptioned]:
    """The captions of originals, one at a time, so that seconds can be compared."""
    found = []
    with progress(f"captions by {captioner.ref.name}", len(wanted)) as done:
        for item in wanted:
            key = key_of("caption/timed", str(captioner.ref), item.sha256)
            if not store.has(key, ".json"):
                store.put(
                    key, ".json", json.dumps(asdict(_timed_caption(captioner, dataset.directory / item.file))).encode()
                )
            found.append(Recaptioned(**json.loads(store.path(key, ".json").read_text())))
            done(1)
    return found


def _timed_caption(captioner: Captioner, path: Path) -> Recaptioned:
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
    pool: GenerationPool,
    directory: Path,
) -> Dataset:
    """The originals, each resynthesized from its caption by every source. Raises IncompleteDataset."""
    existing = _existing(dataset)
    items: list[Item] = []
    orders: list[GenerationOrder] = []
    links: list[tuple[Path, Path]] = []
    for original, caption in zip(wanted, captions, strict=True):
        items.append(replace(original, caption=caption))
        links.append((dataset.directory / original.file, directory / original.file))
        for source in sources if caption is not None else ():
            for k, seed in enumerate(derive_seeds(caption or "", source.id, source.revision, images_per_source)):
                file = layout.resynthesis(original.of, source.id, original.character, k)
                known = existing.get((original.of, original.character, source.id, caption, seed))
                order = GenerationOrder.of(source, caption or "", seed)
                if known is None:
                    orders.append(order)
                path = pool.store.path(order.key, ".png") if known is None else dataset.directory / known.file
                links.append((path, directory / file))
                # Stored features have this key; an order's key identifies an image as well as its content does.
                sha256 = order.key if known is None else known.sha256
                items.append(replace(original, file=file, sha256=sha256, source=source.id, k=k, seed=seed))
    _, failures = pool.generate("resyntheses", orders)
    if failures:
        raise IncompleteDataset(failures)
    for path, target in links:
        link(path, target)
    shown = {original.character for original in wanted}
    manifest = {
        **dataset.manifest,
        "images_per_source": images_per_source,
        "characters": [each for each in dataset.manifest["characters"] if each["number"] in shown],
        "sources": [each for each in dataset.manifest["sources"] if each["id"] in {source.id for source in sources}],
    }
    return Dataset(directory, manifest, tuple(items))


ResynthesisKey = tuple[str, int, str, str | None, int | None]


def _existing(dataset: Dataset) -> dict[ResynthesisKey, Item]:
    """The dataset's resyntheses, by original, source, caption and seed."""
    captions = {(item.of, item.character): item.caption for item in dataset.items if item.source is None}
    return {
        (item.of, item.character, item.source, captions[item.of, item.character], item.seed): item
        for item in dataset.items
        if item.source is not None
    }
