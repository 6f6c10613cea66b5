"""Ten demo sources: jobs in which each of them resynthesizes, about originals by a few sources of each character.

A whole dataset of ten sources has ten originals of each character, and takes hours. Here the sources of the originals
go round the characters, so that each of the ten is asked about equally often.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from attribution.catalog import Source
from attribution.ports import Embedder
from attribution.resynthesis import derive_seeds
from evaluation.answer.jobs import KnownJob, resynthesized_jobs
from evaluation.characters import Character
from evaluation.generation import GenerationOrder, GenerationPool
from evaluation.make import IncompleteDataset, original_seed
from evaluation.store import digest, key_of


@dataclass(frozen=True, slots=True)
class Originals:
    """Of each character by the next `each` of the sources `by`, counted around; another `seed` makes others."""

    characters: Sequence[Character]
    by: Sequence[Source]
    each: int
    seed: int

    def pairs(self) -> list[tuple[Source, Character]]:
        """The source and the character of each."""
        return [
            (self.by[(at * self.each + k) % len(self.by)], character)
            for at, character in enumerate(self.characters)
            for k in range(self.each)
        ]


def resynthesized(
    pool: GenerationPool, originals: Originals, sources: Sequence[Source], images: int, embedder: Embedder
) -> list[KnownJob]:
    """A job for each original: captioned, and resynthesized by all `sources`; what the store has is not made again.

    Seeds are those of the service and of `evaluation.make`, so that images of datasets in the same store are reused.
    """
    pairs = originals.pairs()
    orders = [
        GenerationOrder.of(source, character.description, original_seed(character, source, originals.seed))
        for source, character in pairs
    ]
    _generate(pool, "originals", orders)
    paths = [pool.store.path(order.key, ".png") for order in orders]
    keys = [key_of("caption", str(pool.local.captioner.ref), digest(path)) for path in paths]
    pool.describe(paths, keys)
    captions = [pool.store.path(key, ".txt").read_text() for key in keys]
    generated = [
        {
            source.id: [
                GenerationOrder.of(source, caption, seed)
                for seed in derive_seeds(caption, source.id, source.revision, images)
            ]
            for source in sources
        }
        for caption in captions
    ]
    _generate(pool, "resyntheses", [order for job in generated for of_source in job.values() for order in of_source])
    return resynthesized_jobs(
        [
            (
                str(character.number),
                source.id,
                path,
                {name: [pool.store.path(order.key, ".png") for order in row] for name, row in job.items()},
            )
            for (source, character), path, job in zip(pairs, paths, generated, strict=True)
        ],
        embedder,
        pool.store,
    )


def _generate(pool: GenerationPool, label: str, orders: Sequence[GenerationOrder]) -> None:
    _, failures = pool.generate(label, orders)
    if failures:
        raise IncompleteDataset(failures)
