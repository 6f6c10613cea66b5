"""Figures as text, the same in tables, report and documents."""

from collections.abc import Sequence

Bounds = Sequence[float]


def percent(share: float, bounds: Bounds | None = None) -> str:
    """48.0 % (40.0 to 57.0)."""
    return f"{100 * share:.1f} %" + (f" ({100 * bounds[0]:.1f} to {100 * bounds[1]:.1f})" if bounds else "")


def points(share: float, bounds: Bounds | None = None) -> str:
    """+4.1 (0.2 to 8.0), percentage points."""
    return f"{100 * share:+.1f}" + (f" ({100 * bounds[0]:+.1f} to {100 * bounds[1]:+.1f})" if bounds else "")


def number(value: float, bounds: Bounds | None = None) -> str:
    """0.632 (0.580 to 0.690)."""
    return f"{value:.3f}" + (f" ({bounds[0]:.3f} to {bounds[1]:.3f})" if bounds else "")


def short(source: str) -> str:
    """A source's name where all are the zoo's."""
    return source.removeprefix("zoo-")


def listed(words: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else list(words))


def counted(number: int) -> str:
    """Small numbers as words."""
    names = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    return names[number] if number < len(names) else str(number)
