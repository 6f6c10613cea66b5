"""The papers' dataset procedure (arXiv 2510.24278): every source generates an original of every character from its
primary description, a captioner describes each original, and every source resynthesizes it from that caption.

Sources of the extension, as in the paper, have test characters only. Nothing is done twice: see store.py.
"""

import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from attribution.caption import GIVEN
from attribution.catalog import Source
from attribution.errors import AttributionError
from attribution.resynthesis import derive_seeds
from evaluation import layout
from evaluation.characters import SEED, Character, Side, sides
from evaluation.dataset import MANIFEST, Dataset, Item
from evaluation.generation import Failure, GenerationOrder, GenerationPool
from evaluation.store import digest, key_of, link

NATURAL = "given"  # in place of a captioner: the prompt is the primary description itself
_LIBRARIES = ("whodrew", "numpy", "pillow", "torch", "diffusers", "transformers")


@dataclass(frozen=True, slots=True)
class DatasetRecipe:
    """What a dataset is made of. `seed` selects other originals; resyntheses have the service's own seeds.

    `only` restricts it to some sides; characters keep their numbers and sides.
    """

    characters: tuple[Character, ...]
    core: tuple[Source, ...]
    extension: tuple[Source, ...]
    images_per_source: int
    captioner: str
    split: str
    seed: int = 0
    only: tuple[Side, ...] = tuple(Side)

    @property
    def sources(self) -> tuple[Source, ...]:
        """All of them, the core first: that order decides ties."""
        return (*self.core, *self.extension)

    def side_of(self) -> dict[int, Side]:
        """The side of each character, by number."""
        by_side = sides(len(self.characters))
        return {self.characters[at].number: side for side, places in by_side.items() for at in places}

    @property
    def selected(self) -> tuple[Character, ...]:
        """The characters that are generated."""
        side = self.side_of()
        return tuple(character for character in self.characters if side[character.number] in self.only)

    def pairs(self) -> Iterator[tuple[Source, Character]]:
        """The sources and characters of all originals."""
        side = self.side_of()
        for source in self.sources:
            for character in self.selected:
                if source in self.core or side[character.number] is Side.TEST:
                    yield source, character

    def resynthesizers(self, of: Source, character: Character) -> tuple[Source, ...]:
        """The sources that resynthesize an original: all for a test character, else the core."""
        return self.sources if self.side_of()[character.number] is Side.TEST else self.core


def original_seed(character: Character, source: Source, seed: int) -> int:
    """The seed of an original. Resyntheses derive theirs from the caption; a check ensures that none is shared."""
    name = f"original/1|{character.description}|{source.id}|{source.revision}|{seed}"
    return int.from_bytes(sha256(name.encode()).digest()[:4], "big")


class IncompleteDataset(AttributionError):
    """Some images could not be generated; what was generated is kept."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        first = failures[0]
        super().__init__(
            f"{len(failures)} images could not be generated, the first by {first.order.source}: {first.state}: "
            f"{first.reason} What was generated is kept; run the same command again."
        )


def make(recipe: DatasetRecipe, pool: GenerationPool, directory: Path) -> Dataset:
    """Makes the dataset, or its missing part. Raises IncompleteDataset, and AttributionError if it is unsound."""
    seconds: dict[str, float] = {}
    made: dict[str, int] = {}
    pairs = tuple(recipe.pairs())

    with _timed(seconds, "originals"):
        originals = [
            GenerationOrder.of(source, character.description, original_seed(character, source, recipe.seed))
            for source, character in pairs
        ]
        made["originals"] = _generated(pool, "originals", originals)
    paths = [pool.store.path(order.key, ".png") for order in originals]
    hashes = [digest(path) for path in paths]

    with _timed(seconds, "captions"):
        if recipe.captioner == NATURAL:
            captioner, captions = GIVEN, [order.prompt for order in originals]
        else:
            captioner = pool.local.captioner.ref
            keys = [key_of("caption", str(captioner), content) for content in hashes]
            made["captions"] = pool.describe(paths, keys)
            captions = [pool.store.path(key, ".txt").read_text() for key in keys]

    with _timed(seconds, "resyntheses"):
        generated_images = [
            [
                (source, k, GenerationOrder.of(source, caption, seed))
                for source in recipe.resynthesizers(of, character)
                for k, seed in enumerate(derive_seeds(caption, source.id, source.revision, recipe.images_per_source))
            ]
            for (of, character), caption in zip(pairs, captions, strict=True)
        ]
        orders = [order for after in generated_images for _, _, order in after]
        made["resyntheses"] = _generated(pool, "resyntheses", orders)

    side = recipe.side_of()
    items: list[Item] = []
    (directory / MANIFEST).unlink(missing_ok=True)  # an earlier manifest no longer describes the directory
    for (of, character), order, content, caption, after in zip(
        pairs, originals, hashes, captions, generated_images, strict=True
    ):
        file = layout.original(of.id, character.number)
        link(pool.store.path(order.key, ".png"), directory / file)
        about = Item(file, content, character.number, side[character.number], of.id, seed=order.seed, caption=caption)
        items.append(about)
        for source, k, generated in after:
            file, path = (
                layout.resynthesis(of.id, source.id, character.number, k),
                pool.store.path(generated.key, ".png"),
            )
            link(path, directory / file)
            seen = digest(path)
            items.append(
                replace(about, file=file, sha256=seen, source=source.id, k=k, seed=generated.seed, caption=None)
            )

    dataset = Dataset(directory, _manifest(recipe, str(captioner), made, seconds), tuple(items))
    for problem in dataset.problems():
        raise AttributionError(f"The dataset is unsound: {problem}")
    return Dataset.save(directory, dataset.manifest, items)


def _generated(pool: GenerationPool, label: str, orders: Sequence[GenerationOrder]) -> int:
    count, failures = pool.generate(label, orders)
    if failures:
        raise IncompleteDataset(failures)
    return count


def _manifest(recipe: DatasetRecipe, captioner: str, made: dict[str, int], seconds: dict[str, float]) -> dict[str, Any]:
    side = recipe.side_of()
    return {
        "kind": "made",
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _LIBRARIES}},
        "images_per_source": recipe.images_per_source,
        "captioner": captioner,
        "characters": [asdict(character) | {"side": side[character.number]} for character in recipe.selected],
        "characters_from": recipe.split,
        "split_seed": SEED,
        "seeds": {"originals": recipe.seed, "resyntheses": "attribution.resynthesis.derive_seeds", "disjoint": True},
        "sources": [
            {
                "id": source.id,
                "name": source.name,
                "family": source.family,
                "part": "core" if source in recipe.core else "extension",
                "model": source.model,
                "revision": source.revision,
                "parameters": dict(source.parameters),
                "weights": _weights(source),
            }
            for source in recipe.sources
        ],
        "last_run": {"made": made, "seconds": {stage: round(value, 1) for stage, value in seconds.items()}},
    }


def _weights(source: Source) -> dict[str, str]:
    """The hash of every weight file of a local source."""
    if source.directory is None or not source.directory.is_dir():
        return {}
    files = sorted(source.directory.rglob("*.safetensors"))
    return {path.relative_to(source.directory).as_posix(): digest(path) for path in files}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    seconds[stage] = time.monotonic() - started
