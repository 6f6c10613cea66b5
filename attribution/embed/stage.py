"""Embeds the query together with every drawing, so that no two of them ever meet different numerics."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL.Image import Image

from attribution.errors import AttributionError
from attribution.ports import Embedded, Embedder, Vectors


def embed_all(embedder: Embedder, query: Image, drawings: Mapping[str, Sequence["Image | Vectors"]]) -> Embedded:
    """Features of the query (d,) and of each source's drawings (γ, d), unit norm; sources keep their order.

    Sources without drawings are left out: what was not drawn has no distance. A drawing that this embedder has seen
    before may be given as the features (d,) that it had then.
    """
    drawn = {source: list(images) for source, images in drawings.items() if images}
    batch = [query, *(each for images in drawn.values() for each in images if isinstance(each, Image))]
    vectors = embedder.embed(batch)  # (1 + n_sources · γ, d)
    if vectors.shape != (len(batch), embedder.dimension):
        raise AttributionError(f"The embedder {embedder.ref.name} returned {vectors.shape} for {len(batch)} images.")
    if not np.isfinite(vectors).all():
        raise AttributionError(f"The embedder {embedder.ref.name} returned features that are not numbers.")
    new = iter(vectors[1:])
    by_source = {
        source: np.stack([next(new) if isinstance(each, Image) else each for each in images])
        for source, images in drawn.items()
    }
    return Embedded(embedder.ref, vectors[0], by_source)
