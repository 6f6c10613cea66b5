"""Distances between two vectors in plain loops: slow and simple; tests compare the fast implementation with them."""

import math
from collections.abc import Callable, Mapping, Sequence


def cosine(u: Sequence[float], v: Sequence[float]) -> float:
    """1 − u·v / (|u| |v|)."""
    return 1.0 - _dot(u, v) / math.sqrt(_dot(u, u) * _dot(v, v))


def correlation(u: Sequence[float], v: Sequence[float]) -> float:
    """The cosine distance after each vector's own mean is subtracted."""
    return cosine([x - math.fsum(u) / len(u) for x in u], [y - math.fsum(v) / len(v) for y in v])


def euclidean(u: Sequence[float], v: Sequence[float]) -> float:
    """√ Σ (u − v)²."""
    return math.sqrt(math.fsum((x - y) ** 2 for x, y in zip(u, v, strict=True)))


def manhattan(u: Sequence[float], v: Sequence[float]) -> float:
    """Σ |u − v|."""
    return math.fsum(abs(x - y) for x, y in zip(u, v, strict=True))


def _dot(u: Sequence[float], v: Sequence[float]) -> float:
    return math.fsum(x * y for x, y in zip(u, v, strict=True))


BY_OPERATOR: Mapping[str, Callable[[Sequence[float], Sequence[float]], float]] = {
    "cosine": cosine,
    "euclidean": euclidean,
    "manhattan": manhattan,
    "correlation": correlation,
}
