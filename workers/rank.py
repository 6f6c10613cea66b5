"""Stage `ranking`: distances, an order, a verdict and the result document. The last stage; it needs no model."""

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from app.cache import results
from app.cache.cache_keys import pipeline_key
from app.db.models import RESULT_SCHEMA_VERSION, Job, JobSource
from app.documents import FusionDocument, RankedDocument, ResultDocument, ThresholdDocument, VerdictDocument
from app.jobs import source_repository
from app.settings import JobSettings
from attribution.distance import distance_named
from attribution.fuse import fuse
from attribution.ports import Aggregate, Embedded, ModelRef, Origin, Ranking, SourceState, Threshold, Verdict
from attribution.rank import rank as rank_features
from attribution.verdict import judge
from attribution.weights import digest_of_file
from workers.images import unpack
from workers.process import Process
from workers.stage import Succeed


def rank(process: Process, job: Job) -> Succeed:
    """Ranks the tested sources and says whether the nearest one may be named."""
    with process.database.statement() as session:
        rows = source_repository.list_for_job(session, job.id)
    if job.features_blob is None or job.embedder is None:
        return rank_embedded(process, job, rows, None)
    features = process.blobs.get(job.tenant_id, job.features_blob)
    return rank_embedded(process, job, rows, unpack(features, ModelRef.parse(job.embedder)))


def rank_embedded(process: Process, job: Job, rows: Sequence[JobSource], embedded: Embedded | None) -> Succeed:
    """`rank` with the job's sources, which do not change any more, and their features at hand."""
    options = job.method_options
    order = [row.source for row in rows]
    quorum = quorum_of(process.settings.job, len(rows))
    threshold = None
    if embedded is None:
        ranking = Ranking(options.distance, (), None, aggregate=options.aggregate)
    else:
        ranking = rank_features(embedded, distance_named(options.distance), order, aggregate=options.aggregate)
        threshold = _threshold(process, job, embedded.embedder, rows)
    if job.external_scores is not None:
        ranking = fuse(ranking, job.external_scores["scores"], order, job.external_scores["weight"])
    verdict = judge(ranking, quorum=quorum, threshold=threshold)
    result = _document(job, rows, ranking, verdict, quorum).model_dump(mode="json", exclude=_unsaid(ranking, rows))
    return Succeed(result, rows, _reusable(process, job, rows))


def _unsaid(ranking: Ranking, rows: Sequence[JobSource]) -> dict[str, Any]:
    """The version before reads results, too, while an upgrade is under way: it is not told what it does not know.

    Nothing is lost: what is left out is what a member is where it is not said.
    """
    of_each = set() if any(row.origin == Origin.REFERENCE for row in rows) else {"origin"}
    unsaid: dict[str, Any] = {}
    if ranking.fusion is None:
        of_each |= {"external_scores", "fused"}
        unsaid["fusion"] = True
    if ranking.aggregate is Aggregate.MEAN:
        unsaid["aggregate"] = True
    return unsaid | {"ranking": {"__all__": of_each}}


def pipeline_fingerprint(process: Process, embedder: str) -> str:
    """What makes an answer of generated images here, as a text that changes with it."""
    settings = process.settings.job
    return pipeline_key(
        embedder,
        process.models.calibration.digest,
        settings.quorum_min,
        settings.quorum_share,
        _trusted(process.settings.intake.trust_list),
        RESULT_SCHEMA_VERSION,
    )


@lru_cache
def _trusted(trust_list: Path | None) -> str | None:
    """Whose signatures in files are believed: what a file says of itself is part of the answer."""
    return None if trust_list is None else digest_of_file(trust_list)


def _reusable(process: Process, job: Job, rows: Sequence[JobSource]) -> dict[str, Any]:
    """By which method the answer came about, if it may be given again."""
    if job.result_key is None or job.embedder is None or not results.is_final(job, rows):
        return {}
    reused = [image.generated_at for row in rows for image in row.generated_images if image.generated_at is not None]
    return {
        "pipeline_fingerprint": pipeline_fingerprint(process, job.embedder),
        "result_computed_at": results.oldest(reused),
    }


def quorum_of(settings: JobSettings, requested: int) -> int:
    """How many of the requested sources must have been tested before a verdict may name one."""
    return max(settings.quorum_min, math.ceil(settings.quorum_share * requested))


def _threshold(process: Process, job: Job, embedder: ModelRef, rows: Sequence[JobSource]) -> Threshold | None:
    """The threshold measured for exactly this; a source short of its γ generated images is something else, and so is one
    whose generated images the caller brought: who knows how they were picked. None for captions of another captioner than the
    usual one: thresholds are measured with that.
    """
    named = job.method_options.captioner
    if job.prompt is None and named is not None and named != process.models.captioning()[0]:
        return None
    done = [row for row in rows if row.state == SourceState.DONE]
    if any(row.origin == Origin.REFERENCE or len(row.generated_images) != job.images_per_source for row in done):
        return None
    revisions = {row.source: row.revision for row in done}
    return process.models.calibration.find(
        embedder, job.method_options.distance, job.images_per_source, revisions, job.method_options.aggregate
    )


def _document(job: Job, rows: Sequence[JobSource], ranking: Ranking, verdict: Verdict, quorum: int) -> ResultDocument:
    of = {row.source: row for row in rows}
    return ResultDocument(
        schema_version=RESULT_SCHEMA_VERSION,
        caption=job.caption or "",
        captioner=job.captioner or "",
        embedder=job.embedder,
        distance=ranking.distance,
        images_per_source=job.images_per_source,
        aggregate=ranking.aggregate,
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
                external_scores=entry.external_scores,
                fused=entry.fused,
            )
            for entry in ranking.entries
        ],
        margin=ranking.margin,
        fusion=None
        if ranking.fusion is None
        else FusionDocument(
            weight=ranking.fusion.weight, margin=ranking.fusion.margin, unused=list(ranking.fusion.unused)
        ),
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
