"""`python -m evaluation captions DATASET`: captioners side by side, as Markdown, and as JSON with `--out`."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from attribution.build import Placement, build_captioner, build_embedder
from attribution.caption import GIVEN
from attribution.catalog import Source, load_catalog
from attribution.errors import ConfigurationError
from attribution.ports import Embedder
from evaluation import options, tables
from evaluation.captions.quality import TextTower, clip_cosine, predicts, steps, token_f1
from evaluation.captions.recaption import Recaptioned, described, entries, originals, resynthesized
from evaluation.characters import Side
from evaluation.dataset import Dataset, Item
from evaluation.evaluate import rankings
from evaluation.features import embed
from evaluation.generation import GenerationPool, ModelSet
from evaluation.make import NATURAL
from evaluation.metrics import interval
from evaluation.options import Names
from evaluation.provenance import save
from evaluation.store import WORK, digest, key_of

DEFAULT = Names((NATURAL, "blip", "pez", "blip+pez"))
BASELINE = "blip"  # the others are compared with it
_DISTANCE = "cosine"


class _Result:
    """The result of one captioner, by the original's source and character, (S, P)."""

    def __init__(self, name: str, ref: str, captioned: Sequence[Recaptioned], characters: tuple[int, ...]) -> None:
        self.name = name
        self.ref = ref
        self.captioned = captioned
        self.characters = characters
        self.right: NDArray[np.bool_]
        self.similarity: dict[str, NDArray[np.float64]] = {}


def captions(
    directory: Annotated[Path, typer.Argument(help="a dataset that was made")],
    captioners: Annotated[Names, options.names("specifications of captioners")] = DEFAULT,
    vlm: Annotated[str | None, typer.Option(help="a vision-language model, which is called, and paid, for all")] = None,
    sides: Annotated[Names, options.names("of the characters")] = Names((str(Side.TEST),)),  # noqa: B008
    sources: options.Sources = None,
    images_per_source: options.ImagesPerSource = 1,
    embedder: options.Embedder = options.EMBEDDER,
    clip: Annotated[str, typer.Option(help="its text features compare captions")] = options.CLIP,
    catalog: options.Catalog = options.CATALOG_DEFAULT,
    work: Annotated[Path, typer.Option(help="the directory of the images")] = WORK / "captions",
    processes: options.Processes = options.CPUS,
    batch_size: Annotated[int, typer.Option(min=1, help="images in one batch")] = 32,
    out: options.Out = None,
    store: options.Store = options.STORE_DEFAULT,
    device: options.Device = "cpu",
    threads: options.Threads = None,
) -> None:
    """Compares captioners, and relates the similarity of captions to the accuracy."""
    dataset = Dataset.open(directory)
    if dataset.manifest["kind"] != "made":
        raise ConfigurationError("Only a dataset that was made has the true prompts.")
    chosen = list(sources or dataset.sources)
    wanted = originals(dataset, [Side(side) for side in sides], chosen)
    placement = Placement(device, batch_size=batch_size, threads=threads)
    specs = [*captioners, *([vlm] if vlm else [])]
    with GenerationPool(ModelSet(tuple(catalog), store, "fake:", placement), processes) as pool:
        measurement = _Measurement(
            dataset,
            wanted,
            entries(dataset, chosen, load_catalog(catalog)),
            pool,
            build_embedder(embedder, placement),
            TextTower(clip),
            images_per_source,
            work,
        )
        results = [measurement.of(spec, placement, specs) for spec in specs]
    report = {
        "about": {
            "dataset": dataset.directory.name,
            "items_sha256": digest(directory / "items.jsonl"),
            "sides": list(sides),
            "sources": chosen,
            "originals": len(wanted),
            "characters": len({item.character for item in wanted}),
            "images_per_source": images_per_source,
            "distance": _DISTANCE,
            "embedder": str(measurement.embedder.ref),
            "clip": clip,
            "python": platform.python_version(),
        },
        "captioners": [_row(result, results) for result in results],
        "quality": _quality(results),
        "vlm": "measured" if vlm else "not measured",
    }
    print(tables.captioners(report), tables.quality(report), sep="\n\n", end="\n\n")
    save(out, report)


@dataclass(frozen=True)
class _Measurement:
    """What all captioners have in common."""

    dataset: Dataset
    wanted: Sequence[Item]
    sources: Sequence[Source]
    pool: GenerationPool
    embedder: Embedder
    tower: TextTower
    images_per_source: int
    work: Path

    def of(self, spec: str, placement: Placement, specs: Sequence[str]) -> "_Result":
        """One captioner: captions, resyntheses, accuracy, and similarity to the true prompts."""
        captioner = None if spec == NATURAL else build_captioner(spec, placement)
        truth = {character.number: character.description for character in self.dataset.characters}
        if captioner is None:
            captioned = [Recaptioned(truth[item.character], 0.0) for item in self.wanted]
        else:
            captioned = described(captioner, self.dataset, self.wanted, self.pool.store)
        kind = spec.partition(":")[0]
        alone = sum(each.partition(":")[0] == kind for each in specs) < 2
        ref = str(GIVEN if captioner is None else captioner.ref)
        directory = self.work / self.dataset.directory.name / key_of(ref)
        captions = [each.text for each in captioned]
        generated = resynthesized(
            self.dataset, self.wanted, captions, self.sources, self.images_per_source, self.pool, directory
        )
        features = embed(generated, self.embedder, self.pool.store).of([source.id for source in self.sources])
        result = _Result(kind if alone else spec, ref, captioned, features.characters)
        result.right = rankings(features, _DISTANCE, self.images_per_source).right
        text = {(item.of, item.character): each for item, each in zip(self.wanted, captions, strict=True)}
        cells = [(source, character) for source in features.sources for character in features.characters]
        mine, true = [text[cell] or "" for cell in cells], [truth[character] for _, character in cells]
        similarities = {"clip_cosine": clip_cosine(self.tower, mine, true), "token_f1": token_f1(mine, true)}
        for measure, values in similarities.items():
            result.similarity[measure] = values.reshape(result.right.shape)
        return result


def _row(result: _Result, results: Sequence[_Result]) -> dict[str, Any]:
    texts = [each.text for each in result.captioned if each.text is not None]
    row = {
        "captioner": result.name,
        "ref": result.ref,
        "refused": len(result.captioned) - len(texts),
        "characters": len(result.characters),
        "accuracy": float(result.right.mean()),
        "interval_95": interval(result.right),
        "seconds": mean(each.seconds for each in result.captioned),
        "words": mean(len(text.split()) for text in texts),
        **{measure: float(values.mean()) for measure, values in result.similarity.items()},
        "examples": texts[:3],
    }
    baseline = next((other for other in results if other.name == BASELINE), None)
    if baseline is not None and baseline is not result:
        both = [number for number in result.characters if number in baseline.characters]
        mine = result.right[:, [result.characters.index(number) for number in both]]
        theirs = baseline.right[:, [baseline.characters.index(number) for number in both]]
        change = mine.astype(np.float64) - theirs
        row |= {"over_blip": float(change.mean()), "over_blip_interval_95": interval(change)}
    return row


def _quality(results: Sequence[_Result]) -> list[dict[str, Any]]:
    """By captioner, and for those with the same characters together; not for the true prompt itself."""
    written = [result for result in results if result.name != NATURAL]
    found: list[dict[str, Any]] = []
    for measure in ("clip_cosine", "token_f1"):
        for result in written:
            statistics = predicts(result.similarity[measure], result.right)
            in_steps = steps(result.similarity[measure], result.right)
            found.append({"captioner": result.name, "measure": measure, **statistics, "steps": in_steps})
        together = [result for result in written if result.characters == written[0].characters]
        if len(together) > 1:
            alike = np.stack([result.similarity[measure] for result in together])
            right = np.stack([result.right for result in together])
            names = [result.name for result in together]
            statistics = predicts(alike, right)
            found.append(
                {"captioner": "all", "of": names, "measure": measure, **statistics, "steps": steps(alike, right)}
            )
    return found
