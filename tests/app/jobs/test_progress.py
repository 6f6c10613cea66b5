"""Events: whatever happens to a job and to a reader's connection, what lasts is reported once and in order."""

import json
import uuid
from datetime import UTC, datetime
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.db.models import JobStatus, Stage
from app.documents import JobDocument, RaceDocument, RaceRoundDocument, SourceDocument
from app.jobs.progress import EventName, ProgressEvent, ReaderPosition, events
from attribution.ports import Aggregate, DistanceName, SourceState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STAGES = list(Stage)
OPEN = (SourceState.PENDING, SourceState.RUNNING, SourceState.AWAITING_REFERENCE)
LASTING = [state for state in SourceState if state not in OPEN]


def source(position: int, state: SourceState) -> SourceDocument:
    """A source in a state."""
    return SourceDocument(
        source=f"s{position}",
        family="f",
        platform="p",
        model="m",
        revision="1",
        state=state,
        reason=None,
        seeds=[],
        started_at=None,
        completed_at=None,
    )


def job(status: JobStatus, stage: Stage | None, left: list[Stage], states: list[SourceState]) -> JobDocument:
    """A job that has left some stages and is in another, or has ended."""
    return JobDocument(
        id=uuid.UUID(int=1),
        status=status,
        stage=stage,
        created_at=NOW,
        started_at=None,
        completed_at=None,
        deadline_at=NOW,
        image=None,
        images_per_source=1,
        distance=DistanceName.COSINE,
        aggregate=Aggregate.MEAN,
        prompt=None,
        seed=None,
        external_id=None,
        metadata=None,
        sources=[source(position, state) for position, state in enumerate(states)],
        timings=dict.fromkeys(left, 1.0),
        result=None,
        error=None,
    )


@st.composite
def histories(draw: st.DrawFn) -> list[JobDocument]:
    """All that a job ever was: it goes through stages from some first one on, its sources through states, and ends."""
    first = draw(st.integers(0, 1))
    count = draw(st.integers(0, 4))
    states = [SourceState.PENDING] * count
    left: list[Stage] = []
    history = [job(JobStatus.QUEUED, STAGES[first], left, states)]
    for stage in STAGES[first : draw(st.integers(first + 1, len(STAGES)))]:
        history.append(job(JobStatus.PROCESSING, stage, left, states))
        if stage == Stage.RESYNTHESIZING:
            for position in draw(st.lists(st.integers(0, max(0, count - 1)), max_size=8)) if count else []:
                if states[position] in OPEN:
                    states = states.copy()
                    states[position] = draw(st.sampled_from(list(SourceState)))
                    history.append(job(JobStatus.PROCESSING, stage, left, states))
        left = [*left, stage]
    end = draw(st.sampled_from([JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED]))
    ended = [SourceState.SKIPPED if state in OPEN else state for state in states]
    history.append(job(end, None, left, ended))
    return history


@given(histories(), st.data())
def test_every_final_state_is_reported_once_whatever_is_missed(history: list[JobDocument], data: st.DataObject):
    """A reader that looks now and then, and loses its connection anywhere, misses and repeats nothing that lasts."""
    looks = data.draw(st.lists(st.sampled_from(range(len(history))), max_size=8).map(sorted))
    reported: list[ProgressEvent] = []
    seen = ReaderPosition()
    for index in [*looks, len(history) - 1, len(history) - 1]:
        new = list(events(history[index], seen))
        # The connection breaks after some of them; the reader comes back with the id of the last that arrived.
        arrived = new[: data.draw(st.integers(0, len(new)))] if index != len(history) - 1 else new
        reported += arrived
        if arrived:
            seen = ReaderPosition.parse(str(arrived[-1].seen))

    final = history[-1]
    stages = [event.data for event in reported if event.name is EventName.STAGE]
    assert stages == [f'{{"stage": "{stage}"}}' for stage in STAGES if stage in final.timings]
    for each in final.sources:
        of_it = [
            event for event in reported if f'"source":"{each.source}"' in event.data and event.name is EventName.SOURCE
        ]
        lasting = [event for event in of_it if not any(f'"state":"{state}"' in event.data for state in OPEN)]
        assert len(lasting) == 1
        assert f'"state":"{each.state}"' in of_it[-1].data
    ends = [event for event in reported if event.name not in (EventName.STAGE, EventName.SOURCE)]
    assert ends == [reported[-1]]
    assert JobDocument.model_validate_json(ends[0].data) == final
    assert list(events(final, seen)) == []


@given(histories())
def test_ids_are_short_and_read_back(history: list[JobDocument]):
    """An id is what was seen, in a letter per source; each event has another than the one before."""
    seen, ids = ReaderPosition(), []
    for document in history:
        for event in events(document, seen):
            seen = event.seen
            assert ReaderPosition.parse(str(seen)) == seen
            ids.append(str(seen))
    assert all(len(each) <= 3 + len(history[0].sources) for each in ids)
    assert all(one != other for one, other in pairwise(ids))


@given(st.one_of(st.text(), st.from_regex(r"[0-9]{1,3}[a-z-]{0,5}!?", fullmatch=True)), histories())
def test_any_last_event_id_is_harmless(event_id: str, history: list[JobDocument]):
    """What is not an id of this job begins at the beginning or goes on, and always ends with the end."""
    last = list(events(history[-1], ReaderPosition.parse(event_id)))
    assert ReaderPosition.parse(event_id).ended or last[-1].seen.ended


@st.composite
def races(draw: st.DrawFn) -> list[JobDocument]:
    """All that a job ever was whose sources raced: in each round fewer of them generate again."""
    count = draw(st.integers(1, 4))
    left = [Stage.SCREENING, Stage.CAPTIONING]
    rounds: list[RaceRoundDocument] = []
    rows = [source(position, SourceState.PENDING) for position in range(count)]
    history = []

    def is_now(stage: Stage | None, status: JobStatus = JobStatus.PROCESSING) -> None:
        race = RaceDocument(rounds=list(rounds), images={}, end=None)
        history.append(job(status, stage, left, []).model_copy(update={"sources": list(rows), "race": race}))

    taking_part = list(range(count))
    for number in range(draw(st.integers(1, 5))):
        taking_part = taking_part[: draw(st.integers(1, len(taking_part)))]
        rounds.append(RaceRoundDocument(images=2**number, sources=[f"s{position}" for position in taking_part]))
        for position in taking_part:
            rows[position] = rows[position].model_copy(update={"state": SourceState.PENDING})
        is_now(Stage.RESYNTHESIZING)
        for position in taking_part:
            images = [f"/{k}" for k in range(2**number)]
            rows[position] = rows[position].model_copy(update={"state": SourceState.DONE, "generated_images": images})
            is_now(Stage.RESYNTHESIZING)
        for stage in (Stage.EMBEDDING, Stage.RANKING):
            left = [*dict.fromkeys([*left, STAGES[STAGES.index(stage) - 1]])]
            is_now(stage)
    left = [*left, Stage.RANKING]
    is_now(None, JobStatus.SUCCEEDED)
    return history


@given(races(), st.data())
def test_of_a_race_every_round_is_reported(history: list[JobDocument], data: st.DataObject) -> None:
    """Each entry of a stage once and in order; of a source, last of all, the state with all of its images."""
    looks = data.draw(st.lists(st.sampled_from(range(len(history))), max_size=8).map(sorted))
    reported: list[ProgressEvent] = []
    seen = ReaderPosition()
    for index in [*looks, len(history) - 1, len(history) - 1]:
        for event in events(history[index], ReaderPosition.parse(str(seen))):
            reported.append(event)
            seen = event.seen
    final = history[-1]
    assert final.race is not None
    stages = [event.data for event in reported if event.name is EventName.STAGE]
    expected = [*STAGES[1:3], *STAGES[3:] * len(final.race.rounds)]
    assert stages == [f'{{"stage": "{stage}"}}' for stage in expected]
    for each in final.sources:
        of_it = [event for event in reported if event.name is EventName.SOURCE and f'"{each.source}"' in event.data]
        shown = json.loads(of_it[-1].data)
        assert (shown["state"], shown["generated_images"]) == (each.state, each.generated_images)
        assert all(one.data != other.data for one, other in pairwise(of_it))
    assert reported[-1].name is EventName.COMPLETED
    assert all(len(str(event.seen)) <= 3 + len(final.sources) for event in reported)
