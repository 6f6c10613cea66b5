"""How many images a job's sources generate, and how a job raced. Like `ports.py`, it imports nothing heavy."""

from dataclasses import dataclass
from enum import StrEnum


class Budget(StrEnum):
    """How many images sources generate: γ each; by racing, up to γ; or by racing where past jobs can decide it."""

    FIXED = "fixed"
    RACING = "racing"
    AUTO = "auto"


class RaceEnd(StrEnum):
    """Why no source of a race gets more images.

    One source is left and has all images; several are, and have them; or the job's deadline comes before another round
    would end.
    """

    ONE_LEFT = "one_left"
    ALL_IMAGES = "all_images"
    DEADLINE = "deadline"


@dataclass(frozen=True, slots=True)
class RaceRound:
    """A round of a race: `sources` are to have `images` images each, those of earlier rounds included."""

    images: int
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Race:
    """How a job raced: its rounds, and why there was no further one; None while it runs."""

    rounds: tuple[RaceRound, ...]
    end: RaceEnd | None = None
