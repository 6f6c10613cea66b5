"""`python -m evaluation captions DATASET`: captioners side by side, as Markdown, and as JSON with `--out`."""

import argparse
import os
import platform
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution.build import Placement, build_captioner, build_embedder
from attribution.caption import GIVEN
from attribution.catalog import Source, load_catalog
from attribution.errors import ConfigurationError
from attribution.ports import Captioner, Embedder
from evaluation.captions import show
from evaluation.captions.quality import TextTower, clip_cosine, steps, tells, token_f1
from evaluation.captions.recaption import Recaptioned, described, entries, originals, resynthesized
from evaluation.dataset import Dataset, Item
from evaluation.evaluate import rankings
from evaluation.features import embed
from evaluation.generation import GenerationPool, ModelSet
from evaluation.make import NATURAL
from evaluation.metrics import interval
from evaluation.paths import WORK
from evaluation.split import Side
from evaluation.store import Store, digest, key_of

Write = Callable[[Path | None, dict[str, Any]], None]
DEFAULT = (NATURAL, "blip", "pez", "blip+pez")
BESIDE = "blip"  # what the others are compared with
_DISTANCE = "cosine"


def add(commands: Any, embedder: str, models: Callable[[argparse.ArgumentParser], None], write: Write) -> None:
    """Adds the command."""
    names = partial(str.split, sep=",")
    command = commands.add_parser("captions", help="captioners side by side, and what a caption's likeness is worth")
    command.add_argument("directory", type=Path, help="a dataset that was made")
    command.add_argument("--captioners", type=names, default=list(DEFAULT), help=f"default: {','.join(DEFAULT)}")
    command.add_argument("--vlm", help="specification of a vision-language model, which is asked, and paid, for all")
    command.add_argument("--sides", type=names, default=[str(Side.TEST)], help="of the characters; default: test")
    command.add_argument("--sources", type=names, help="only these")
    command.add_argument("--images-per-source", type=int, default=1, help="γ")
    command.add_argument("--embedder", default=embedder)
    command.add_argument("--clip", default="local-dir:zoo/models/clip", help="whose text features compare captions")
    command.add_argument("--catalog", type=Path, nargs="+", default=[Path("sources")])
    command.add_argument("--work", type=Path, default=WORK / "captions", help="where the images go")
    command.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    command.add_argument("--batch-size", type=int, default=32, help="images generated at once")
    command.add_argument("--out", type=Path, help="JSON; default: printed")
    models(command)
    command.set_defaults(run=partial(_run, write))


class _Result:
    """What came of one captioner: by original's source and character, (S, P)."""

    def __init__(self, name: str, ref: str, said: Sequence[Recaptioned], characters: tuple[int, ...]) -> None:
        self.name = name
        self.ref = ref
        self.said = said
        self.characters = characters
        self.right: NDArray[np.bool_]
        self.likeness: dict[str, NDArray[np.float64]] = {}


def _run(write: Write, options: argparse.Namespace) -> int:
    dataset = Dataset.open(options.directory)
    if dataset.manifest["kind"] != "made":
        raise ConfigurationError("Only a dataset that was made knows the true prompts.")
    names = options.sources or list(dataset.sources)
    wanted = originals(dataset, [Side(side) for side in options.sides], names)
    sources = entries(dataset, names, load_catalog(options.catalog))
    placement = Placement(options.device, batch_size=options.batch_size, threads=options.threads)
    equipment = ModelSet(tuple(options.catalog), options.store, "fake:", placement)
    embedder, tower = build_embedder(options.embedder, placement), TextTower(options.clip)
    specs = [*options.captioners, *([options.vlm] if options.vlm else [])]
    results: list[_Result] = []
    with GenerationPool(equipment, options.processes) as studio:
        for spec in specs:
            captioner = None if spec == NATURAL else build_captioner(spec, placement)
            results.append(_measure(spec, captioner, dataset, wanted, sources, studio, embedder, tower, options))
    report = {
        "about": {
            "dataset": dataset.directory.name,
            "items_sha256": digest(options.directory / "items.jsonl"),
            "sides": options.sides,
            "sources": names,
            "originals": len(wanted),
            "characters": len({item.character for item in wanted}),
            "images_per_source": options.images_per_source,
            "distance": _DISTANCE,
            "embedder": str(embedder.ref),
            "clip": options.clip,
            "python": platform.python_version(),
        },
        "captioners": [_row(result, results) for result in results],
        "quality": _quality(results),
        "vlm": "measured" if options.vlm else "not measured",
    }
    print(show.captioners(report), show.quality(report), sep="\n\n", end="\n\n")
    write(options.out, report)
    return 0


def _measure(
    spec: str,
    captioner: Captioner | None,
    dataset: Dataset,
    wanted: Sequence[Item],
    sources: Sequence[Source],
    studio: GenerationPool,
    embedder: Embedder,
    tower: TextTower,
    options: argparse.Namespace,
) -> _Result:
    truth = {character.number: character.description for character in dataset.characters}
    if captioner is None:
        said = [Recaptioned(truth[item.character], 0.0) for item in wanted]
    else:
        said = described(captioner, dataset, wanted, studio.store)
    kind = spec.partition(":")[0]
    alone = sum(each.partition(":")[0] == kind for each in options.captioners) < 2
    ref = str(GIVEN if captioner is None else captioner.ref)
    directory = options.work / dataset.directory.name / key_of(ref)
    captions = [each.text for each in said]
    generated = resynthesized(dataset, wanted, captions, sources, options.images_per_source, studio, directory)
    features = embed(generated, embedder, Store(options.store)).of([source.id for source in sources])
    result = _Result(kind if alone else spec, ref, said, features.characters)
    result.right = rankings(features, _DISTANCE, options.images_per_source).right
    text = {(item.of, item.character): each for item, each in zip(wanted, captions, strict=True)}
    cells = [(source, character) for source in features.sources for character in features.characters]
    mine, true = [text[cell] or "" for cell in cells], [truth[character] for _, character in cells]
    for measure, values in (("clip_cosine", clip_cosine(tower, mine, true)), ("token_f1", token_f1(mine, true))):
        result.likeness[measure] = values.reshape(result.right.shape)
    return result


def _row(result: _Result, results: Sequence[_Result]) -> dict[str, Any]:
    texts = [each.text for each in result.said if each.text is not None]
    row = {
        "captioner": result.name,
        "ref": result.ref,
        "refused": len(result.said) - len(texts),
        "characters": len(result.characters),
        "accuracy": float(result.right.mean()),
        "interval_95": interval(result.right),
        "seconds": mean(each.seconds for each in result.said),
        "words": mean(len(text.split()) for text in texts),
        **{measure: float(values.mean()) for measure, values in result.likeness.items()},
        "examples": texts[:3],
    }
    beside = next((other for other in results if other.name == BESIDE), None)
    if beside is not None and beside is not result:
        both = [number for number in result.characters if number in beside.characters]
        mine = result.right[:, [result.characters.index(number) for number in both]]
        theirs = beside.right[:, [beside.characters.index(number) for number in both]]
        change = mine.astype(np.float64) - theirs
        row |= {"over_blip": float(change.mean()), "over_blip_interval_95": interval(change)}
    return row


def _quality(results: Sequence[_Result]) -> list[dict[str, Any]]:
    """By captioner, and for those with the same characters together; the true prompt itself is always alike."""
    written = [result for result in results if result.name != NATURAL]
    found: list[dict[str, Any]] = []
    for measure in ("clip_cosine", "token_f1"):
        for result in written:
            told = tells(result.likeness[measure], result.right)
            by_likeness = steps(result.likeness[measure], result.right)
            found.append({"captioner": result.name, "measure": measure, **told, "steps": by_likeness})
        together = [result for result in written if result.characters == written[0].characters]
        if len(together) > 1:
            alike = np.stack([result.likeness[measure] for result in together])
            right = np.stack([result.right for result in together])
            names = [result.name for result in together]
            told = tells(alike, right)
            found.append({"captioner": "all", "of": names, "measure": measure, **told, "steps": steps(alike, right)})
    return found
