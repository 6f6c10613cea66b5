"""What stages pass to each other through the blob store: canonical images and feature arrays."""

import io
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from app.db.blobs import Blobs
from app.db.models import Job
from attribution.embed.stage import ImageFeatures, features_of
from attribution.image import decode_own
from attribution.ports import Distances, Embedded, ModelRef, Taps

PNG = "image/png"
BMP = "image/bmp"
NPZ = "application/x-npz"
_QUERY = "query"
_SOURCE = "source/"
_PIXELS = "pixels/"
_HASHES = "hashes"  # of each source's images in the order of the rows, as JSON
_LAYOUT = "taps/layout"  # names and lengths, as JSON
_QUERY_TAPS = "taps/query"
_SOURCE_TAPS = "taps/source/"
_SIDE = "taps/side"


def read_image(blobs: Blobs, tenant_id: uuid.UUID, sha256: str) -> Image.Image:
    """A stored canonical image, RGB. Only PNG and BMP files that this service wrote are decoded here."""
    return decode_own(blobs.get(tenant_id, sha256))


def read_query(blobs: Blobs, job: Job) -> Image.Image:
    """The query image of a job past fetching, canonical."""
    assert job.query_blob is not None
    return read_image(blobs, job.tenant_id, job.query_blob)


def pack(embedded: Embedded, hashes: Mapping[str, Sequence[str]]) -> bytes:
    """As npz: features `query` (d,) and `source/<id>` (γ, d), float32; distances `pixels/<name>/<id>` (γ,), float64.

    Taps, where there are some, as `taps/query` (D,) and `taps/source/<id>` (γ, D), float32, with `taps/layout`.

    Args:
        embedded: The features.
        hashes: The SHA-256 of each source's images, in the order of the features.
    """
    arrays: dict[str, Any] = {_QUERY: embedded.query, _HASHES: np.array(json.dumps(hashes))}
    arrays |= {_SOURCE + source: vectors for source, vectors in embedded.generated_images.items()}
    for name, by_source in embedded.pixels.items():
        arrays |= {f"{_PIXELS}{name}/{source}": distances for source, distances in by_source.items()}
    if embedded.taps is not None:
        arrays |= {_LAYOUT: np.array(json.dumps(dict(embedded.taps.layout))), _QUERY_TAPS: embedded.taps.query}
        arrays |= {_SOURCE_TAPS + source: rows for source, rows in embedded.taps.generated_images.items()}
        if embedded.taps.side is not None:
            arrays[_SIDE] = np.array(embedded.taps.side)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def unpack(data: bytes, embedder: ModelRef) -> Embedded:
    """The inverse of pack."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        pixels: dict[str, dict[str, Distances]] = {}
        for name in arrays.files:
            if name.startswith(_PIXELS):
                distance, _, source = name.removeprefix(_PIXELS).partition("/")
                pixels.setdefault(distance, {})[source] = arrays[name]
        return Embedded(
            embedder=embedder,
            query=arrays[_QUERY],
            generated_images={
                name.removeprefix(_SOURCE): arrays[name] for name in arrays.files if name.startswith(_SOURCE)
            },
            pixels=pixels,
            taps=_taps(arrays) if _LAYOUT in arrays.files else None,
        )


def unpack_by_image(data: bytes, embedder: ModelRef) -> dict[str, ImageFeatures]:
    """The features of generated images by the images' hashes; none of a file that has no hashes."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        hashes = json.loads(str(arrays[_HASHES])) if _HASHES in arrays.files else {}
    features = features_of(unpack(data, embedder))
    return {
        sha256: each
        for source, of_source in hashes.items()
        if source in features
        for sha256, each in zip(of_source, features[source], strict=True)
    }


def _taps(arrays: Any) -> Taps:
    return Taps(
        json.loads(str(arrays[_LAYOUT])),
        arrays[_QUERY_TAPS],
        {name.removeprefix(_SOURCE_TAPS): arrays[name] for name in arrays.files if name.startswith(_SOURCE_TAPS)},
        int(arrays[_SIDE]) if _SIDE in arrays.files else None,
    )
