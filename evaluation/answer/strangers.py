"""Queries by sources that are not asked: originals of the test characters by other demo models."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from attribution.catalog import Source
from attribution.ports import Embedder, Taps
from evaluation.answer.jobs import KnownJob, compared_alike, compute_features
from evaluation.characters import Character
from evaluation.generation import GenerationOrder, GenerationPool
from evaluation.make import original_seed


def stranger_jobs(
    pool: GenerationPool,
    sources: Sequence[Source],
    characters: Sequence[Character],
    known: Sequence[KnownJob],
    embedder: Embedder,
    seed: int,
) -> list[KnownJob]:
    """A job for each source and character: its query is by the source, its images are those of a known job.

    The known job is about the same character, so that its caption is the right one's, of another image.
    """
    orders = [
        (source, character, GenerationOrder.of(source, character.description, original_seed(character, source, seed)))
        for source in sources
        for character in characters
    ]
    pool.generate("strangers", [order for _, _, order in orders])
    files: dict[str, Path] = {order.key: pool.store.path(order.key, ".png") for _, _, order in orders}
    found = compute_features(files, embedder, pool.store)
    by_group: dict[str, list[KnownJob]] = {}
    for job in known:
        by_group.setdefault(job.group, []).append(job)
    jobs = []
    for at, (source, character, order) in enumerate(orders):
        about = by_group[str(character.number)]
        job = about[at % len(about)]
        taps = Taps(job.taps.layout, np.asarray(found.taps[order.key]), job.taps.generated_images)
        jobs.append(
            replace(
                job, truth=source.id, image=files[order.key], taps=taps, query=np.asarray(found.embeddings[order.key])
            )
        )
    return compared_alike(jobs, embedder, pool.store)
