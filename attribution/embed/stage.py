"""The embedding stage: embeds the query together with all generated images, so that all use the same numerics.

For a ranking by distance, features are the papers': the final embedding of every image as it is. For one by residuals,
every image is converted to its canonical form first, and taps and forensic features are computed besides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from attribution.canonical import canonical
from attribution.errors import AttributionError
from attribution.forensics import FORENSIC_TAPS, forensic_features
from attribution.ports import Embedded, Embedder, Method, ModelRef, Taps, Vectors

_VERSION = 1  # of everything that `taps` are computed by, but for the embedder


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """One image's features as an earlier job computed them: embedding (d,), and taps (D,) for residuals."""

    embedding: Vectors
    taps: Vectors | None = None


def embed_all(
    embedder: Embedder,
    query: Image.Image,
    generated_images: Mapping[str, Sequence[Image.Image | ImageFeatures]],
    method: Method = Method.COSINE,
    side: int | None = None,
) -> Embedded:
    """Features of the query (d,) and of each source's generated images (γ, d), unit norm; sources keep their order.

    Sources without generated images are omitted: they have no distance. An image that was embedded before, for the same
    method and side, may be given as its features. For a ranking by residuals all images are reduced to `side` pixels
    first, if it is given (`attribution.detail.common_side`). Raises AttributionError if the features are not usable.
    """
    generated = {source: list(images) for source, images in generated_images.items() if images}
    batch = [query, *(each for images in generated.values() for each in images if isinstance(each, Image.Image))]
    rows = image_features(embedder, batch, method, side)
    known = iter(rows[1:])
    by_source = {
        source: [next(known) if isinstance(each, Image.Image) else each for each in images]
        for source, images in generated.items()
    }
    taps = None
    if rows[0].taps is not None:
        of_images = {
            source: [each.taps for each in images if each.taps is not None] for source, images in by_source.items()
        }
        of_source = {source: np.stack(each) for source, each in of_images.items()}
        taps = Taps(layout(embedder), rows[0].taps, of_source, side)
    embeddings = {source: np.stack([each.embedding for each in images]) for source, images in by_source.items()}
    return Embedded(embedder.ref, rows[0].embedding, embeddings, taps=taps)


def features_of(embedded: Embedded) -> Mapping[str, list[ImageFeatures]]:
    """Each source's images as their features, to be given to `embed_all` with further images."""
    taps = None if embedded.taps is None else embedded.taps.generated_images
    return {
        source: [ImageFeatures(row, None if taps is None else taps[source][at]) for at, row in enumerate(rows)]
        for source, rows in embedded.generated_images.items()
    }


def layout(embedder: Embedder) -> Mapping[str, int]:
    """Names and lengths of all taps: the embedder's, then the forensic ones."""
    return {**embedder.taps, **FORENSIC_TAPS}


def feature_space(embedder: ModelRef) -> str:
    """What residuals must share to be comparable: the embedder and the version of the features."""
    return f"{embedder}/features-{_VERSION}"


def image_features(
    embedder: Embedder, images: Sequence[Image.Image], method: Method, side: int | None = None
) -> list[ImageFeatures]:
    """The features of images for a method, in order; for residuals reduced to `side` first, if it is given."""
    if method is Method.RESIDUAL:
        images = [canonical(image, side) for image in images]
        embeddings, taps = embedder.features(images)
        taps = np.concatenate([taps, np.stack([forensic_features(image) for image in images])], axis=1)
        _check(embedder, taps, (len(images), sum(layout(embedder).values())))
    else:
        embeddings, taps = embedder.embed(images), None
    _check(embedder, embeddings, (len(images), embedder.dimension))
    return [ImageFeatures(row, None if taps is None else taps[at]) for at, row in enumerate(embeddings)]


def _check(embedder: Embedder, features: Vectors, shape: tuple[int, int]) -> None:
    if features.shape != shape:
        raise AttributionError(f"The embedder {embedder.ref.name} returned {features.shape} for {shape[0]} images.")
    if not np.isfinite(features).all():
        raise AttributionError(f"The embedder {embedder.ref.name} returned features that are not numbers.")
