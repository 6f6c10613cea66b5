"""Attribution jobs whose answers are known, made of a dataset or of a folder of real images, as features.

Features are computed once per image and embedder, and kept in the store.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attribution.detail import common_side
from attribution.embed.stage import image_features, layout
from attribution.image import load
from attribution.ports import Embedder, Method, Taps, Vectors
from evaluation.dataset import Dataset
from evaluation.distort.distortions import Distortion, distort
from evaluation.processes import progress
from evaluation.real import Gallery
from evaluation.store import Store, digest, key_of, write

_CHUNK = 64


@dataclass(frozen=True)
class KnownJob:
    """One job.

    Attributes:
        group: What shares its difficulty: a character, or a prompt.
        truth: The source of the query; of a stranger, a source that is not among the generated images.
        image: The query's file.
        taps: The features of the method `residual`.
        query: (d,) the embedding of the query as it is, for the papers' method.
        generated_images: (γ, d) those of the generated images, per source.
        files: The files of the generated images, per source.
    """

    group: str
    truth: str
    image: Path
    taps: Taps
    query: Vectors
    generated_images: Mapping[str, Vectors]
    files: Mapping[str, Sequence[Path]] = field(default_factory=dict)

    def only(self, sources: Sequence[str], images: int | None = None) -> "KnownJob":
        """The job with these sources, in this order, and the first so many images of each."""
        return self.first(dict.fromkeys(sources, images))

    def first(self, images: Mapping[str, int | None]) -> "KnownJob":
        """The job with these sources, in this order, and the first so many images of each; None for all."""
        taps = {source: self.taps.generated_images[source][:count] for source, count in images.items()}
        return replace(
            self,
            taps=replace(self.taps, generated_images=taps),
            generated_images={source: self.generated_images[source][:count] for source, count in images.items()},
            files={source: self.files[source][:count] for source, count in images.items() if source in self.files},
        )


@dataclass(frozen=True)
class ComputedFeatures:
    """Embeddings and taps by the name of the image."""

    embeddings: Mapping[str, Vectors]
    taps: Mapping[str, Vectors]


def dataset_jobs(dataset: Dataset, embedder: Embedder, store: Store) -> list[KnownJob]:
    """A job for each original of a dataset, resynthesized by the sources that did so."""
    files = {item.sha256: dataset.directory / item.file for item in dataset.items}
    found = compute_features(files, embedder, store)
    generated: dict[tuple[str, int], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for item in sorted(dataset.items, key=lambda item: item.k or 0):
        if item.source is not None:
            generated[item.of, item.character][item.source].append(item.sha256)
    return [
        _job(
            str(item.character),
            item.of,
            (item.sha256, files[item.sha256]),
            generated[item.of, item.character],
            files,
            found,
            embedder,
        )
        for item in dataset.items
        if item.source is None
    ]


def gallery_jobs(
    gallery: Gallery, embedder: Embedder, store: Store, images: int, repeats: int = 2, seed: int = 0
) -> list[KnownJob]:
    """Jobs in the natural-prompt setting: other images of the same prompt, chosen at random, are the resyntheses."""
    files = {each.sha256: each.path for of_model in gallery.pictures for row in of_model for each in row}
    found = compute_features(files, embedder, store)
    random = np.random.default_rng(seed)
    return [
        _job(
            gallery.prompts[p],
            gallery.models[m],
            (query.sha256, query.path),
            {
                model: [
                    gallery.pictures[other][p][at].sha256
                    for at in random.choice(_others(gallery, other, p, query.sha256), images, replace=False)
                ]
                for other, model in enumerate(gallery.models)
            },
            files,
            found,
            embedder,
        )
        for p in range(len(gallery.prompts))
        for m in range(len(gallery.models))
        for query in gallery.pictures[m][p]
        for _ in range(repeats)
    ]


def resynthesized_jobs(
    rows: Sequence[tuple[str, str, Path, Mapping[str, Sequence[Path]]]], embedder: Embedder, store: Store
) -> list[KnownJob]:
    """Jobs of files in the store: group, source of the query, query, and each source's generated images."""
    files = {path.stem: path for _, _, query, generated in rows for path in (query, *chain(*generated.values()))}
    found = compute_features(files, embedder, store)
    return [
        _job(
            group,
            truth,
            (query.stem, query),
            {source: [path.stem for path in paths] for source, paths in generated.items()},
            files,
            found,
            embedder,
        )
        for group, truth, query, generated in rows
    ]


def distorted_jobs(
    jobs: Sequence[KnownJob], distortion: Distortion, embedder: Embedder, store: Store
) -> list[KnownJob]:
    """The jobs with their queries distorted, compared alike."""
    files = {path: _distorted(path, distortion, store) for path in sorted({job.image for job in jobs})}
    return compared_alike([replace(job, image=files[job.image]) for job in jobs], embedder, store, jobs)


def compared_alike(
    jobs: Sequence[KnownJob], embedder: Embedder, store: Store, before: Sequence[KnownJob] = ()
) -> list[KnownJob]:
    """The jobs as the service compares them: where the query has less detail, all images of its job are reduced.

    `before` are the same jobs with other queries, whose features are then computed anew.
    """
    queries = {path: load(path).image for path in {job.image for job in jobs}}
    first = {path: load(path).image for path in {row[0] for job in jobs for row in job.files.values()}}
    sides = [common_side(queries[job.image], [first[row[0]] for row in job.files.values()]) for job in jobs]
    found = list(jobs)
    for side in sorted(set(sides), key=str):
        places = [at for at, its in enumerate(sides) if its == side]
        if side is None and not before:
            continue
        asked = compute_features(_by_content(jobs[at].image for at in places), embedder, store, side)
        generated = None
        if side is not None:
            paths = (path for at in places for row in jobs[at].files.values() for path in row)
            generated = compute_features(_by_content(paths), embedder, store, side)
        for at in places:
            job, query = jobs[at], digest(jobs[at].image)
            taps = replace(job.taps, query=asked.taps[query], side=side)
            if generated is not None:
                of_source = {
                    source: np.stack([generated.taps[digest(path)] for path in row])
                    for source, row in job.files.items()
                }
                taps = replace(taps, generated_images=of_source)
            found[at] = replace(job, taps=taps, query=asked.embeddings[query])
    return found


def _by_content(paths: Iterable[Path]) -> dict[str, Path]:
    """Files by their hashes: links to the same image are one."""
    return {digest(path): path for path in set(paths)}


def _distorted(path: Path, distortion: Distortion, store: Store) -> Path:
    """The file of the distorted image, in the store."""
    sha256 = digest(path)
    file = store.path(key_of("distorted/1", distortion.name, sha256), ".png")
    if not file.exists():
        buffer = BytesIO()
        distort(distortion, load(path).image, sha256).save(buffer, "PNG")
        write(file, buffer.getvalue())
    return file


def _others(gallery: Gallery, model: int, prompt: int, query: str) -> NDArray[np.intp]:
    images = gallery.pictures[model][prompt]
    return np.array([at for at, each in enumerate(images) if each.sha256 != query])


def _job(
    group: str,
    truth: str,
    query: tuple[str, Path],
    generated: Mapping[str, Sequence[str]],
    files: Mapping[str, Path],
    found: ComputedFeatures,
    embedder: Embedder,
) -> KnownJob:
    name, path = query
    return KnownJob(
        group,
        truth,
        path,
        Taps(
            layout(embedder),
            found.taps[name],
            {source: np.stack([found.taps[each] for each in images]) for source, images in generated.items()},
        ),
        found.embeddings[name],
        {source: np.stack([found.embeddings[each] for each in images]) for source, images in generated.items()},
        {source: [files[each] for each in images] for source, images in generated.items()},
    )


def compute_features(
    files: Mapping[str, Path], embedder: Embedder, store: Store, side: int | None = None
) -> ComputedFeatures:
    """The features of image files by name, reduced to `side` first; those of earlier runs come from the store."""
    embeddings: dict[str, Vectors] = {}
    taps: dict[str, Vectors] = {}
    chunks = list(_chunks(sorted(files)))
    width = embedder.dimension
    with progress(f"features and taps by {embedder.ref.name}", len(chunks)) as done:
        for chunk in chunks:
            path = store.path(key_of("answer/1", str(embedder.ref), chunk, *(() if side is None else (side,))), ".npy")
            if not path.exists():
                images = [load(files[each]).image for each in chunk]
                features = image_features(embedder, images, Method.RESIDUAL, side)
                rows = np.stack([each.taps for each in features if each.taps is not None])
                write(path, np.concatenate([embedder.embed(images), rows], axis=1).astype("<f4").tobytes())
            both = np.frombuffer(path.read_bytes(), "<f4").reshape(len(chunk), -1)
            embeddings.update(zip(chunk, both[:, :width], strict=True))
            taps.update(zip(chunk, both[:, width:], strict=True))
            done(1)
    return ComputedFeatures(embeddings, taps)


def _chunks(names: Sequence[str]) -> Iterator[list[str]]:
    yield from (list(names[at : at + _CHUNK]) for at in range(0, len(names), _CHUNK))
