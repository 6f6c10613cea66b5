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
from app.documents import JobDocument
from attribution.ports import SourceState

# Readers hold ids across releases: a new stage is appended, and no state changes its letter.
_STAGES = tuple(Stage)
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

    stages: int = 0  # of all stages, those before this index are behind it
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
    generated_image = _STAGES.index(Stage.RESYNTHESIZING)
    entered = [index for index, stage in enumerate(_STAGES) if stage in document.timings or stage == document.stage]
    for index in entered:
        if seen.stages <= index <= generated_image:
            seen = replace(seen, stages=index + 1)
            yield ProgressEvent(EventName.STAGE, _stage(index), seen)
    for position, source in enumerate(document.sources):
        letter = _LETTERS[source.state]
        if seen.sources[position] != letter:
            seen = replace(seen, sources=seen.sources[:position] + letter + seen.sources[position + 1 :])
            yield ProgressEvent(EventName.SOURCE, source.model_dump_json(include=_REPORTED), seen)
    for index in entered:
        if max(seen.stages, generated_image + 1) <= index:
            seen = replace(seen, stages=index + 1)
            yield ProgressEvent(EventName.STAGE, _stage(index), seen)
    if document.status in ENDED and not seen.ended:
        yield ProgressEvent(_ENDS[document.status], document.model_dump_json(), replace(seen, ended=True))


def _stage(index: int) -> str:
    return json.dumps({"stage": _STAGES[index]})
