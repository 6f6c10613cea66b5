"""This host: its processor, and its peak rates of copying memory and multiplying matrices."""

import os
import platform
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np

# On these depends how fast 8-bit products are; "amx" stands for AMX's 8-bit products.
_INSTRUCTIONS = {
    "avx2": "avx2",
    "avx512f": "avx512f",
    "avx512_vnni": "avx512_vnni",
    "avx_vnni": "avx_vnni",
    "amx_int8": "amx",
}


def cpu() -> tuple[str, list[str] | None]:
    """The processor's name, and which of the instruction sets above it has; None where the system does not say."""
    file = Path("/proc/cpuinfo")
    lines = [line.partition(":") for line in file.read_text().splitlines()] if file.is_file() else []
    said = {key.strip(): value.strip() for key, _, value in reversed(lines)}
    flags = said.get("flags")
    found = None if flags is None else [name for flag, name in _INSTRUCTIONS.items() if flag in flags.split()]
    return said.get("model name") or platform.processor() or platform.machine(), found


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


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time that processes and their children have used; 0 where the system has no /proc. Ended ones count once
    their parent has waited for them."""
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            threads = list(Path(f"/proc/{pid}/task").iterdir())
            children = " ".join((thread / "children").read_text() for thread in threads)
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))
        ticks += round(cpu_seconds(map(int, children.split())) * os.sysconf("SC_CLK_TCK"))
    return ticks / os.sysconf("SC_CLK_TCK")
