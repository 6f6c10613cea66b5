"""A job's progress as events: a pure function of its document and of what a reader has seen of it.

Nothing keeps events. An event's id says all that was seen up to it, in a few letters, so that any process can go on
from there; states that came and went between two reads are left out, those that last are sent once.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from app.db.models import ENDED, JobStatus, Stage
from app.documents import JobDocument, SourceDocument
from attribution.ports import SourceState

# Readers hold ids across releases: a new stage is appended, and no state changes its letter.
_STAGES = tuple(Stage)
_REPEATED = _STAGES.index(Stage.RESYNTHESIZING)  # this stage and those behind it, in each round of a race
_LETTERS = {
    SourceState.PENDING: "p",
    SourceState.RUNNING: "r",
    SourceState.DONE: "d",
    SourceState.REFUSED_PROMPT: "m",
    SourceState.REFUSED_OUTPUT: "o",
    SourceState.RATE_LIMITED: "l",
    SourceState.QUOTA: "q",
    SourceState.TIMEOUT: "t",
    SourceState.UNAVAILABLE: "u",
    SourceState.RETIRED: "g",
    SourceState.NO_API: "n",
    SourceState.AWAITING_REFERENCE: "a",
    SourceState.SKIPPED: "s",
    SourceState.ERROR: "e",
}
_DONE_AGAIN = "bcfh"  # in the second to fifth round that a source of a race takes part in; γ is at most 16
_UNSEEN = "-"
_REPORTED = {"source", "origin", "state", "reason", "generated_images", "references"}
_ID = re.compile(r"([0-9]{1,2})([a-z-]*)(!?)")


class EventName(StrEnum):
    """The kinds of events: a stage was entered, a source changed its state, or how the job ended."""

    STAGE = "stage"
    SOURCE = "source"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


_ENDS = {
    JobStatus.SUCCEEDED: EventName.COMPLETED,
    JobStatus.FAILED: EventName.FAILED,
    JobStatus.CANCELED: EventName.CANCELED,
}


@dataclass(frozen=True, slots=True)
class ReaderPosition:
    """What a reader has received. As a string it is the id of the last event."""

    stages: int = 0  # of all stages, those before this place are behind it
    sources: str = ""  # a letter per source, in catalog order
    ended: bool = False

    def __str__(self) -> str:
        return f"{self.stages}{self.sources}{'!' if self.ended else ''}"

    @classmethod
    def parse(cls, event_id: str) -> "ReaderPosition":
        """The inverse of str(); nothing was seen where it is not an id of ours."""
        found = _ID.fullmatch(event_id)
        return ReaderPosition(int(found[1]), found[2], bool(found[3])) if found else ReaderPosition()


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """An event to send; `seen` includes it."""

    name: EventName
    data: str  # JSON
    seen: ReaderPosition


def events(document: JobDocument, seen: ReaderPosition) -> Iterator[ProgressEvent]:
    """The events that a reader has not received, in order; all of them where it has seen nothing of this job."""
    if len(seen.sources) != len(document.sources):
        seen = ReaderPosition(sources=_UNSEEN * len(document.sources))
    entered, generated_image = _entered(document)
    for index in entered:
        if seen.stages <= index <= generated_image:
            seen = replace(seen, stages=index + 1)
            yield ProgressEvent(EventName.STAGE, _stage(index), seen)
    for position, source in enumerate(document.sources):
        letter = _letter(document, source)
        if seen.sources[position] != letter:
            seen = replace(seen, sources=seen.sources[:position] + letter + seen.sources[position + 1 :])
            yield ProgressEvent(EventName.SOURCE, source.model_dump_json(include=_REPORTED), seen)
    for index in entered:
        if max(seen.stages, generated_image + 1) <= index:
            seen = replace(seen, stages=index + 1)
            yield ProgressEvent(EventName.STAGE, _stage(index), seen)
    if document.status in ENDED and not seen.ended:
        yield ProgressEvent(_ENDS[document.status], document.model_dump_json(), replace(seen, ended=True))


def _letter(document: JobDocument, source: SourceDocument) -> str:
    rounds = 0 if document.race is None else sum(source.source in each.sources for each in document.race.rounds)
    return _DONE_AGAIN[rounds - 2] if source.state == SourceState.DONE and rounds > 1 else _LETTERS[source.state]


def _entered(document: JobDocument) -> tuple[list[int], int]:
    """The places of the stages that were entered, and that of the last entry of resynthesizing.

    A job that races enters the last three stages again in each round: they have places behind those of the round
    before.
    """
    rounds = max(1, len(document.race.rounds)) if document.race is not None else 1
    generated_image = _REPEATED + (rounds - 1) * (len(_STAGES) - _REPEATED)
    before = range(_REPEATED, generated_image)
    first = [index for index in range(_REPEATED) if _was_entered(document, _STAGES[index])]
    last = [
        generated_image + index - _REPEATED
        for index in range(_REPEATED, len(_STAGES))
        if _was_entered_in_last_round(document, _STAGES[index], rounds)
    ]
    return [*first, *before, *last], generated_image


def _was_entered(document: JobDocument, stage: Stage) -> bool:
    return stage in document.timings or stage == document.stage


def _was_entered_in_last_round(document: JobDocument, stage: Stage, rounds: int) -> bool:
    """Of a further round, timings say nothing: they have the sums over all rounds."""
    if rounds == 1 or document.status in ENDED or document.stage is None:
        return _was_entered(document, stage)
    return _STAGES.index(stage) <= _STAGES.index(document.stage)


def _stage(index: int) -> str:
    repeated = len(_STAGES) - _REPEATED
    return json.dumps({"stage": _STAGES[index if index < _REPEATED else _REPEATED + (index - _REPEATED) % repeated]})
