"""Stage `ranking`: distances, an order, a verdict and the result document. The last stage; it needs no model."""

import math
from collections.abc import Sequence

from app.documents import RankedDocument, ResultDocument, ThresholdDocument, VerdictDocument
from app.settings import JobSettings
from app.store import jobs
from app.store.models import RESULT_SCHEMA_VERSION, Job, JobSource
from attribution.ports import ModelRef, Origin, Ranking, SourceState, Threshold, Verdict
from attribution.rank import rank as rank_features
from attribution.verdict import judge
from workers.images import unpack
from workers.process import Process
from workers.stage import Succeed


def rank(process: Process, job: Job) -> Succeed:
    """Ranks the tested sources and says whether the nearest one may be named."""
    with process.database.statement() as session:
        rows = jobs.sources_of(session, job.id)
    models = process.models
    quorum = quorum_of(process.settings.job, len(rows))
    threshold = None
    if job.features_blob is None or job.embedder is None:
        ranking = Ranking(models.distance.name, (), None)
    else:
        embedded = unpack(process.blobs.get(job.tenant_id, job.features_blob), ModelRef.parse(job.embedder))
        ranking = rank_features(embedded, models.distance, [row.source for row in rows])
        threshold = _threshold(process, job, embedded.embedder, rows)
    verdict = judge(ranking, quorum=quorum, threshold=threshold)
    brought = any(row.origin == Origin.REFERENCE for row in rows)
    # The version before reads results, too, while an upgrade is under way: it is not told what it does not know.
    unsaid = None if brought else {"ranking": {"__all__": {"origin"}}}
    return Succeed(_document(job, rows, ranking, verdict, quorum).model_dump(mode="json", exclude=unsaid), rows)


def quorum_of(settings: JobSettings, requested: int) -> int:
    """How many of the requested sources must have been tested before a verdict may name one."""
    return max(settings.quorum_min, math.ceil(settings.quorum_share * requested))


def _threshold(process: Process, job: Job, embedder: ModelRef, rows: Sequence[JobSource]) -> Threshold | None:
    """The threshold measured for exactly this; a source short of its γ drawings is something else, and so is one
    whose drawings the caller brought: who knows how they were picked.
    """
    done = [row for row in rows if row.state == SourceState.DONE]
    if any(row.origin == Origin.REFERENCE or len(row.drawings) != job.candidates for row in done):
        return None
    return process.models.calibration.find(
        embedder, process.models.distance.name, job.candidates, {row.source: row.revision for row in done}
    )


def _document(job: Job, rows: Sequence[JobSource], ranking: Ranking, verdict: Verdict, quorum: int) -> ResultDocument:
    of = {row.source: row for row in rows}
    return ResultDocument(
        schema_version=RESULT_SCHEMA_VERSION,
        caption=job.caption or "",
        captioner=job.captioner or "",
        embedder=job.embedder,
        distance=ranking.distance,
        candidates=job.candidates,
        quorum=quorum,
        temperature=ranking.temperature,
        calibrated=ranking.calibrated,
        ranking=[
            RankedDocument(
                source=entry.source,
                family=of[entry.source].family,
                origin=Origin(of[entry.source].origin),
                distance=entry.distance,
                score=entry.score,
                distances=list(entry.distances),
            )
            for entry in ranking.entries
        ],
        margin=ranking.margin,
        verdict=VerdictDocument(
            kind=verdict.kind,
            source=verdict.source,
            reason=verdict.reason,
            threshold=_threshold_document(verdict.threshold),
        ),
    )


def _threshold_document(threshold: Threshold | None) -> ThresholdDocument | None:
    if threshold is None:
        return None
    return ThresholdDocument(
        max_distance=threshold.max_distance,
        min_margin=threshold.min_margin,
        measured=dict(threshold.measured),
        calibration=threshold.calibration,
    )
