"""`python -m evaluation examples DATASET`: images for the report: some originals of every source, and one right and one
wrong attribution with their rankings.

The choice is automatic: of the right attributions, and of the wrong ones, the one with the median margin.
"""

import base64
import io
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from attribution.build import Placement, build_embedder
from evaluation import options
from evaluation.characters import Side
from evaluation.dataset import Dataset, Item
from evaluation.evaluate import Rankings, rankings
from evaluation.features import Features, embed
from evaluation.metrics import nearest
from evaluation.provenance import save
from evaluation.store import Store, digest

_DISTANCE = "cosine"
_QUALITY = 90


def command(
    directory: Annotated[Path, typer.Argument(help="a dataset")],
    embedder: options.Embedder = options.EMBEDDER,
    characters: Annotated[int, typer.Option(min=1, help="originals of each source to show")] = 6,
    out: options.Out = None,
    store: options.Store = options.STORE_DEFAULT,
    device: options.Device = "cpu",
    threads: options.Threads = None,
) -> None:
    """Collects images for the report: the sources, a right and a wrong attribution."""
    dataset = Dataset.open(directory)
    loaded = build_embedder(embedder, Placement(device, threads=threads))
    save(out, examples(dataset, embed(dataset, loaded, Store(store)).of(), characters))


def examples(dataset: Dataset, features: Features, characters: int) -> dict[str, Any]:
    """Images as WebP in base64; `right` and `wrong` are None where there is no such answer on the test side."""
    found = rankings(features, _DISTANCE, features.images_per_source)
    items = {(item.of, item.character, item.source, item.k): item for item in dataset.items}
    text = {character.number: character.description for character in dataset.characters}
    shown = features.characters[:characters]
    tested = np.array([features.side[number] is Side.TEST for number in features.characters])
    if not tested.any():
        tested[:] = True

    def explained(wanted: NDArray[np.bool_]) -> dict[str, Any] | None:
        at = _middle(found, wanted & tested)
        return None if at is None else _explained(dataset, features, found, items, *at)

    return {
        "about": {
            "dataset": dataset.directory.name,
            "items_sha256": digest(dataset.directory / "items.jsonl"),
            "captioner": dataset.manifest.get("captioner"),
            "embedder": features.embedder,
            "distance": _DISTANCE,
            "images_per_source": features.images_per_source,
            "families": {source["id"]: source.get("family") for source in dataset.manifest["sources"]},
        },
        "zoo": {
            "characters": [{"number": number, "description": text[number]} for number in shown],
            "images": {
                of: [_encoded(dataset, items[of, number, None, None]) for number in shown] for of in found.sources
            },
        },
        "right": explained(found.right),
        "wrong": explained(~found.right),
        "margins": {name: _median(found, which) for name, which in (("right", found.right), ("wrong", ~found.right))},
    }


def _margins(found: Rankings) -> NDArray[np.float64]:
    """(S, P) the lead of the nearest source over the second."""
    two = np.sort(found.distances, axis=2)[:, :, :2]
    lead: NDArray[np.float64] = two[:, :, 1] - two[:, :, 0]
    return lead


def _median(found: Rankings, wanted: NDArray[np.bool_]) -> float | None:
    return float(np.median(_margins(found)[wanted])) if wanted.any() else None


def _middle(found: Rankings, wanted: NDArray[np.bool_]) -> tuple[int, int] | None:
    """The place of the wanted query with the middle margin."""
    places = np.argwhere(wanted)
    if not len(places):
        return None
    order = np.argsort(_margins(found)[wanted], kind="stable")
    i, p = places[order[len(order) // 2]]
    return int(i), int(p)


def _explained(
    dataset: Dataset,
    features: Features,
    found: Rankings,
    items: dict[tuple[str, int, str | None, int | None], Item],
    i: int,
    p: int,
) -> dict[str, Any]:
    of, number = found.sources[i], features.characters[p]
    query = items[of, number, None, None]
    order = nearest(found.distances[i, p][None])[0]
    named = int(order[0])
    predicted = nearest(found.flat)[:, 0].reshape(found.distances.shape[:2])
    return {
        "source": of,
        "named": found.sources[named],
        "character": number,
        "side": str(query.side),
        "description": next(each.description for each in dataset.characters if each.number == number),
        "caption": query.caption,
        "query": _encoded(dataset, query),
        "margin": float(found.distances[i, p, order[1]] - found.distances[i, p, named]),
        "ranking": [
            {
                "source": found.sources[j],
                "distance": float(found.distances[i, p, j]),
                "image": _encoded(dataset, items[of, number, found.sources[j], 0]),
            }
            for j in map(int, order)
        ],
        "named_so": int((predicted[i] == named).sum()),  # how many of the source's originals are attributed to `named`
        "originals": len(features.characters),
    }


def _encoded(dataset: Dataset, item: Item) -> str:
    with Image.open(dataset.directory / item.file) as image:
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, "WEBP", quality=_QUALITY)
    return base64.b64encode(buffer.getvalue()).decode()
