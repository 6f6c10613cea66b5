"""What stages pass to each other through the blob store: canonical images and feature arrays."""

import io
import uuid
from typing import Any

import numpy as np
from PIL import Image

from app.db.blobs import Blobs
from app.db.models import Job
from attribution.image import decode_own
from attribution.ports import Distances, Embedded, ModelRef

PNG = "image/png"
BMP = "image/bmp"
NPZ = "application/x-npz"
_QUERY = "query"
_SOURCE = "source/"
_PIXELS = "pixels/"


def read_image(blobs: Blobs, tenant_id: uuid.UUID, sha256: str) -> Image.Image:
    """A stored canonical image, RGB. Only PNG and BMP files that this service wrote are decoded here."""
    return decode_own(blobs.get(tenant_id, sha256))


def read_query(blobs: Blobs, job: Job) -> Image.Image:
    """The query image of a job past fetching, canonical."""
    assert job.query_blob is not None
    return read_image(blobs, job.tenant_id, job.query_blob)


def pack(embedded: Embedded) -> bytes:
    """As npz: features `query` (d,) and `source/<id>` (γ, d), float32; distances `pixels/<name>/<id>` (γ,), float64."""
    arrays: dict[str, Any] = {_QUERY: embedded.query}
    arrays |= {_SOURCE + source: vectors for source, vectors in embedded.generated_images.items()}
    for name, by_source in embedded.pixels.items():
        arrays |= {f"{_PIXELS}{name}/{source}": distances for source, distances in by_source.items()}
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
        )
