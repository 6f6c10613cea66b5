"""The peak rates of this host, as a reference: copying memory, multiplying matrices."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np


def fastest(work: Callable[[], object], times: int = 5) -> float:
    """Seconds of the fastest of some runs, the one with the least interference."""
    best = float("inf")
    for _ in range(times):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


def copy_rate(size: int, threads: int) -> float:
    """Bytes a second that `threads` threads copy between two arrays of `size` bytes; each is read and written once."""
    source, target = np.ones(size, np.uint8), np.ones(size, np.uint8)
    edges = [size * share // threads for share in range(threads + 1)]
    parts = [slice(start, stop) for start, stop in pairwise(edges)]
    with ThreadPoolExecutor(threads) as pool:
        return size / fastest(lambda: list(pool.map(lambda part: np.copyto(target[part], source[part]), parts)), 15)


def gemm_rate(n: int = 2048) -> float:
    """float32 operations a second of torch's own matrix product, with the threads torch has."""
    import torch

    left, right = torch.randn(n, n), torch.randn(n, n)
    return 2 * n**3 / fastest(lambda: left @ right, 7)
