"""Taps: what blocks in the middle of a model say of an image, as mean and standard deviation over its patches.

Every embedder that has them pools with the functions below, so that torch and ONNX Runtime give the same numbers.
"""

from collections.abc import Mapping, Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

from attribution.errors import ConfigurationError
from attribution.ports import ModelRef, Vectors


def default_blocks(depth: int) -> tuple[int, ...]:
    """The blocks at a quarter and a half of the depth, counted from 1; one where both are the same."""
    return tuple(sorted({ceil(depth / 4), ceil(depth / 2)}))


def block_name(block: int) -> str:
    """The name of a block, which starts those of its taps."""
    return f"block{block}"


def taps_of(widths: Mapping[str, int]) -> dict[str, int]:
    """Names and lengths of the taps of blocks, from the blocks' names and the lengths of their tokens."""
    return {f"{block}.{statistic}": width for block, width in widths.items() for statistic in ("mean", "std")}


def pooled(tokens: Sequence[NDArray[np.floating]]) -> Vectors:
    """(n, D): mean and population standard deviation over patches, of each block's (n, patches, d), in their order.

    Computed in float64: summing hundreds of patches costs float32 its last digits.
    """
    parts = [
        statistic
        for each in tokens
        for statistic in (each.mean(axis=1, dtype=np.float64), each.std(axis=1, dtype=np.float64))
    ]
    taps: Vectors = np.concatenate(parts, axis=1).astype(np.float32)
    return taps


def without_taps(ref: ModelRef) -> ConfigurationError:
    """The error of an embedder that is asked for taps and has none."""
    return ConfigurationError(f"The embedder {ref.name} has no taps: use the method cosine, or another embedder.")
