"""Seeds that follow from the question: the same caption, source and revision always meet the same generated images.

That is what lets recompressed copies of one image get one answer, and lets a cache serve them. The derivation
must never change: stored results name their seeds by it.
"""

import json
from hashlib import sha256

_VERSION = "seed/1"


def derive_seeds(caption: str, source: str, revision: str, n: int, base: int | None = None) -> tuple[int, ...]:
    """`n` seeds below 2**32 (vendors take no more); asking for more later keeps the first ones.

    `base` is a seed the caller gave: it picks another, equally repeatable stream.
    """
    return tuple(_seed(caption, source, revision, k, base) for k in range(n))


def _seed(caption: str, source: str, revision: str, k: int, base: int | None) -> int:
    # JSON, because joining with a separator would let ("a|b", "c") and ("a", "b|c") share their seeds.
    question = json.dumps([_VERSION, caption, source, revision, k, base])
    return int.from_bytes(sha256(question.encode("ascii")).digest()[:4], "big")
