"""The embedding stage: embeds the query together with all generated images, so that all use the same numerics."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL.Image import Image

from attribution.errors import AttributionError
from attribution.ports import Embedded, Embedder, Vectors


def embed_all(
    embedder: Embedder, query: Image, generated_images: Mapping[str, Sequence["Image | Vectors"]]
) -> Embedded:
    """Features of the query (d,) and of each source's generated images (γ, d), unit norm; sources keep their order.

    Sources without generated images are omitted: they have no distance. An image that was embedded before may be given
    as its features (d,). Raises AttributionError if the features are not usable.
    """
    generated = {source: list(images) for source, images in generated_images.items() if images}
    batch = [query, *(each for images in generated.values() for each in images if isinstance(each, Image))]
    vectors = embedder.embed(batch)  # (1 + n_sources · γ, d)
    if vectors.shape != (len(batch), embedder.dimension):
        raise AttributionError(f"The embedder {embedder.ref.name} returned {vectors.shape} for {len(batch)} images.")
    if not np.isfinite(vectors).all():
        raise AttributionError(f"The embedder {embedder.ref.name} returned features that are not numbers.")
    new = iter(vectors[1:])
    by_source = {
        source: np.stack([next(new) if isinstance(each, Image) else each for each in images])
        for source, images in generated.items()
    }
    return Embedded(embedder.ref, vectors[0], by_source)
