"""A job that races: how many images its first round asks for, and after each ranking, whether there is another round.

The rule itself is `attribution.racing`; here is what the service adds: which banks there are, and deadlines.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from app.cache import results
from app.db.models import Job, JobSource, Stage
from app.db.types import RaceRecord
from app.jobs import source_repository
from attribution.ports import Origin, Ranking, SourceState
from attribution.race import Budget, RaceEnd, RaceRound
from attribution.racing import may_race, next_round, probabilities_of
from workers.models import Models
from workers.storage import Storage
from workers.transitions import BeginRound

# What a job must have left for another round, in rounds as long as its own were on average.
_ROUNDS_LEFT = 2


_ASKED = (SourceState.PENDING, SourceState.AWAITING_REFERENCE, SourceState.DONE)


def begin_race(storage: Storage, models: Models, job: Job) -> Mapping[str, Any]:
    """The job's column `race` with the first round; nothing of a job that does not race."""
    options = job.method_options
    if options.budget is Budget.FIXED:
        return {}
    with storage.database.statement() as session:
        rows = source_repository.list_for_job(session, job.id)
    asked = [row for row in rows if row.state in _ASKED]
    if not may_race(options.budget, options.method, [Origin(row.origin) for row in asked], job.images_per_source):
        return {}
    if options.budget is Budget.AUTO and not _known(storage, options.embedder, asked):
        return {}
    fewest = {source.id: min(source.limits.fewest_images, job.images_per_source) for source in models.catalog.sources}
    at_least = {row.source: fewest[row.source] for row in asked if fewest.get(row.source, 1) > 1}
    record = RaceRecord((RaceRound(1, tuple(row.source for row in asked)),), at_least)
    return {"race": record.document()}


def _known(storage: Storage, embedder: str | None, rows: Sequence[JobSource]) -> bool:
    """Whether the bank lets these sources race, in the feature space that embed workers report."""
    with storage.database.statement() as session:
        space = results.get_fingerprint(session, results.space_part(embedder))
    bank = None if space is None else storage.banks.newest(space)
    return bank is not None and bank.supports_racing([f"{row.source}@{row.revision}" for row in rows])


def after_ranking(job: Job, record: RaceRecord, rows: Sequence[JobSource], ranking: Ranking) -> BeginRound | RaceEnd:
    """The next round of a job's race, or why there is none."""
    images = {row.source: len(row.generated_images) for row in rows if row.state == SourceState.DONE}
    after = next_round(probabilities_of(ranking), images, record.rounds[-1].images, job.images_per_source)
    if isinstance(after, RaceEnd):
        return after
    if (job.deadline_at - datetime.now(UTC)).total_seconds() < _ROUNDS_LEFT * _seconds_per_round(job, record):
        return RaceEnd.DEADLINE
    return BeginRound(replace(record, rounds=(*record.rounds, after)))


def _seconds_per_round(job: Job, record: RaceRecord) -> float:
    spent = sum(float(job.timings.get(stage, 0)) for stage in (Stage.RESYNTHESIZING, Stage.EMBEDDING))
    return spent / len(record.rounds)
