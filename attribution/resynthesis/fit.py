"""Prompts cut to what a source takes, between words: the first words, as many as there is room for."""

from bisect import bisect_left
from collections.abc import Callable


def fit(prompt: str, limit: int | None, fits: Callable[[str], bool] = lambda text: True) -> str:
    """The prompt, or as many of its first words as `limit` characters hold and `fits` says yes to.

    A first word that is too long by itself, as of a language without blanks, is cut between characters.
    """
    cut = prompt if limit is None or len(prompt) <= limit else prompt[: limit + 1].rsplit(" ", 1)[0][:limit]
    if fits(cut):
        return cut
    words = cut.split(" ")
    most = _most(len(words), lambda count: fits(" ".join(words[:count])))
    return " ".join(words[:most]) if most else cut[: _most(len(cut), lambda count: fits(cut[:count]))]


def _most(count: int, holds: Callable[[int], bool]) -> int:
    """The largest number up to `count` for which it holds; it holds for all below that one."""
    return bisect_left(range(1, count + 1), True, key=lambda number: not holds(number))
