"""Compares the query image with perceptual hashes (PDQ) of images that must not be processed.

The image's eight rotations and reflections are compared, so that a list holds each image once.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

import numpy as np
from cachetools import LRUCache, TTLCache, cached
from numpy.typing import NDArray
from PIL.Image import Image

from app.db.database import Database
from app.db.models import HashList
from app.screening.hash_csv import MIN_QUALITY
from app.screening.repository import LISTS_FINGERPRINT, get_fingerprint, list_hash_lists_applying_to, list_hashes
from workers.screening.hooks import Hit, QueryImage, ScreenedCaption
from workers.screening.pdq import dihedral_hashes

_TENANTS = 1_000
# Kept in memory over all lists, 32 bytes each.
_HASHES = 10_000_000
# Compared at once; intermediate results then fit the processor's cache.
_ROWS_AT_ONCE = 65_536

# (4, n): the n hashes of a list, 64 bits per row.
Hashes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A list's hashes as they were at a change."""

    updated_at: datetime
    hashes: Hashes

    def __len__(self) -> int:
        return max(1, int(self.hashes.shape[1]))


class HashLists:
    """The lists that apply to a tenant, read again every few seconds; a list's hashes are loaded once per change."""

    def __init__(self, database: Database, refresh: timedelta) -> None:
        self._database = database
        self._lists = cached(TTLCache(_TENANTS, refresh.total_seconds()), lock=Lock())(self._load_lists)
        self._loaded: LRUCache[uuid.UUID, _Loaded] = LRUCache(_HASHES, getsizeof=len)
        self._loading = Lock()

    def check_image(self, query: QueryImage) -> Hit | None:
        """A hit where a list has a hash that is near enough. Without a list that applies the image is not read."""
        _, lists = self._lists(query.tenant_id)
        if not lists:
            return None
        variants = hash_variants(query.image)
        for each in lists:
            if matches(variants, self._hashes(each), each.max_distance):
                return Hit("hash_list", each.name, f"The image is on the hash list `{each.name}`.")
        return None

    def check_caption(self, caption: ScreenedCaption) -> Hit | None:
        """Passes: hash lists are about images."""
        return None

    def fingerprint(self, tenant_id: uuid.UUID) -> str:
        """Which lists a tenant's images are compared with, as a text that changes with them."""
        return self._lists(tenant_id)[0]

    def _load_lists(self, tenant_id: uuid.UUID) -> tuple[str, Sequence[HashList]]:
        with self._database.statement() as session:
            return get_fingerprint(session, LISTS_FINGERPRINT, tenant_id), list_hash_lists_applying_to(
                session, tenant_id
            )

    def _hashes(self, of: HashList) -> Hashes:
        with self._loading:
            loaded = self._loaded.get(of.id)
            if loaded is None or loaded.updated_at != of.updated_at:
                loaded = _Loaded(of.updated_at, self._load_hashes(of.id))
                if len(loaded) <= _HASHES:
                    self._loaded[of.id] = loaded
            return loaded.hashes

    def _load_hashes(self, list_id: uuid.UUID) -> Hashes:
        packed = bytearray()
        with self._database.transaction(durable=False) as session:
            for each in list_hashes(session, list_id):
                packed += each
        return np.ascontiguousarray(np.frombuffer(packed, np.uint64).reshape(-1, 4).T)


def hash_variants(image: Image) -> Hashes:
    """The PDQ hashes of an RGB image, rotated and reflected: (4, 8), or (4, 0) where it has too few features."""
    hashes, quality = dihedral_hashes(image)
    if quality < MIN_QUALITY:
        return np.empty((4, 0), np.uint64)
    return np.ascontiguousarray(hashes.view(np.uint64).T)


def matches(variants: Hashes, hashes: Hashes, max_distance: int) -> bool:
    """Whether any of `variants` (4, k) is within that many bits of any of `hashes` (4, n)."""
    for start in range(0, hashes.shape[1], _ROWS_AT_ONCE):
        rows = hashes[:, start : start + _ROWS_AT_ONCE]
        for variant in variants.T:
            # Up to 256, which a byte cannot count.
            distances = sum(
                np.bitwise_count(row ^ word).astype(np.uint16) for row, word in zip(rows, variant, strict=True)
            )
            if np.min(distances) <= max_distance:
                return True
    return False
