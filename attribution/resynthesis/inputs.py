"""The two inputs of every generator besides the model: the prompt, cut to what the source accepts, and the seeds.

Seeds follow from caption, source and revision, so the same request always produces the same generated images:
recompressed copies of one image get the same answer, and a cache can serve them. The derivation must never change,
because stored results contain seeds derived by it.
"""

import json
from bisect import bisect_left
from collections.abc import Callable
from hashlib import sha256

_VERSION = "seed/1"


def derive_seeds(caption: str, source: str, revision: str, n: int, base: int | None = None) -> tuple[int, ...]:
    """`n` seeds below 2**32, the largest range that vendors accept; a larger `n` keeps the first seeds.

    Args:
        caption: The text that is sent to the source.
        source: The id of the source in the catalog.
        revision: The revision of its model.
        n: How many seeds to derive.
        base: A seed given by the caller: it selects another, equally repeatable stream.
    """
    return tuple(_seed(caption, source, revision, k, base) for k in range(n))


def fit_prompt(prompt: str, limit: int | None, fits: Callable[[str], bool] = lambda text: True) -> str:
    """The prompt, or as many of its first words as fit into `limit` characters and satisfy `fits`.

    A first word that is too long by itself, as in a language without blanks, is cut between characters.
    """
    cut = prompt if limit is None or len(prompt) <= limit else prompt[: limit + 1].rsplit(" ", 1)[0][:limit]
    if fits(cut):
        return cut
    words = cut.split(" ")
    most = _most(len(words), lambda count: fits(" ".join(words[:count])))
    return " ".join(words[:most]) if most else cut[: _most(len(cut), lambda count: fits(cut[:count]))]


def _seed(caption: str, source: str, revision: str, k: int, base: int | None) -> int:
    # JSON, because joining with a separator would give ("a|b", "c") and ("a", "b|c") the same seed.
    key = json.dumps([_VERSION, caption, source, revision, k, base])
    return int.from_bytes(sha256(key.encode("ascii")).digest()[:4], "big")


def _most(count: int, holds: Callable[[int], bool]) -> int:
    """The largest number up to `count` for which `holds` is true; it is true for all smaller numbers."""
    return bisect_left(range(1, count + 1), True, key=lambda number: not holds(number))
