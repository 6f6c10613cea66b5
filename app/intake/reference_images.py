"""Stores reference images that the caller uploads: each is decoded like the image in question, and kept in canonical form alone."""

import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

from anyio import CapacityLimiter, to_thread

from app.db.blob_repository import image_role
from app.db.blobs import Blobs, StoredBlob
from app.errors import ImageTooLargeProblem, UndecodableImageProblem, UnsupportedImageProblem
from app.intake.decoders import Decoders
from app.intake.options import mistake
from app.intake.uploaded_references import UploadedReference

CANONICAL_TYPE = "image/bmp"
# Each holds a part of a generated image in memory while it is put.
_PUTS_AT_ONCE = 2


class ReferenceImages:
    """Decodes and stores. What is stored is not recorded yet: whoever asked for it refers to it, or discards it."""

    def __init__(self, blobs: Blobs, decoders: Decoders) -> None:
        self._blobs = blobs
        self._decoders = decoders
        self._puts = CapacityLimiter(_PUTS_AT_ONCE)

    async def store(self, tenant_id: uuid.UUID, brought: Sequence[UploadedReference]) -> dict[str, list[StoredBlob]]:
        """By source, in the order of k. Nothing is stored unless all can be decoded.

        Raises what `Decoders.decode` raises, pointing at the generated image, and StorageUnavailable.
        """
        hashes = {each.source: [await self._decode(each, k) for k in range(len(each.files))] for each in brought}
        return {
            each.source: [
                await to_thread.run_sync(
                    self._blobs.put_file,
                    tenant_id,
                    _canonical(file.path),
                    sha256,
                    CANONICAL_TYPE,
                    limiter=self._puts,
                )
                for file, sha256 in zip(each.files, hashes[each.source], strict=True)
            ]
            for each in brought
        }

    async def _decode(self, brought: UploadedReference, k: int) -> str:
        upload = brought.files[k].path
        try:
            return await self._decoders.decode_reference(upload, _canonical(upload))
        except (UnsupportedImageProblem, UndecodableImageProblem, ImageTooLargeProblem) as error:
            name, *within = brought.member
            detail = f"Generating {k + 1} cannot be taken: {error.detail}"
            raise type(error)(detail, errors=[mistake(name, error.detail, *within, k)]) from error


def _canonical(upload: Path) -> Path:
    return upload.with_suffix(".bmp")


def roles(source: str, generated_images: Iterable[StoredBlob]) -> dict[str, StoredBlob]:
    """The generated images by the role that a job uses them in."""
    return {image_role(source, k): blob for k, blob in enumerate(generated_images)}
