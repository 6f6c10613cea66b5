"""Stage `ranking`: distances, an order, a verdict and the result document. The last stage; it needs no model."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from app.cache import results
from app.cache.cache_keys import pipeline_key
from app.db.models import RESULT_SCHEMA_VERSION, Job, JobSource
from app.db.types import RaceRecord
from app.documents import (
    EstimateDocument,
    FusionDocument,
    RankedDocument,
    ResultDocument,
    VerdictDocument,
    race_document,
)
from app.jobs import source_repository
from app.settings import JobSettings, Settings
from attribution.distance import distance_named
from attribution.embed.stage import feature_space
from attribution.fuse import fuse
from attribution.match import match
from attribution.match_verdict import judge_match
from attribution.ports import Aggregate, Embedded, Method, ModelRef, Origin, Ranking, SourceState, Threshold, Verdict
from attribution.race import RaceEnd
from attribution.racing import FLOOR
from attribution.rank import rank as rank_features
from attribution.verdict import judge
from attribution.weights import digest_of_directory, digest_of_file
from workers.artifacts import unpack
from workers.models import Models
from workers.race import after_ranking
from workers.storage import Storage
from workers.transitions import BeginRound, Succeed


def rank(settings: Settings, storage: Storage, models: Models, job: Job) -> Succeed | BeginRound:
    """Ranks the tested sources and says whether the nearest one may be named, or begins the next round of a race."""
    with storage.database.statement() as session:
        rows = source_repository.list_for_job(session, job.id)
    if job.features_blob is None or job.embedder is None:
        return rank_embedded(settings, storage, models, job, rows, None)
    features = storage.blobs.get(job.tenant_id, job.features_blob)
    return rank_embedded(settings, storage, models, job, rows, unpack(features, ModelRef.parse(job.embedder)))


def rank_embedded(
    settings: Settings,
    storage: Storage,
    models: Models,
    job: Job,
    rows: Sequence[JobSource],
    embedded: Embedded | None,
) -> Succeed | BeginRound:
    """`rank` for a job whose sources and features have been read already; `embedded` is None with nothing generated."""
    options = job.method_options
    order = [row.source for row in rows]
    quorum = quorum_of(settings.job, len(rows))
    threshold, known = None, None
    if embedded is None:
        ranking = Ranking(options.distance, (), None, aggregate=options.aggregate)
    else:
        ranking = rank_features(embedded, distance_named(options.distance), order, aggregate=options.aggregate)
        if options.method is Method.RESIDUAL:
            bank = storage.banks.newest(feature_space(embedded.embedder))
            revisions = {row.source: row.revision for row in rows if row.origin == Origin.GENERATOR}
            families = {row.source: row.family for row in rows}
            race = None if job.race is None else job.images_per_source
            ranking, known = match(ranking, embedded, order, revisions, families, bank, race)
        else:
            threshold = _threshold(models, job, embedded.embedder, rows)
    after = None if job.race is None else after_ranking(job, job.race, rows, ranking)
    if isinstance(after, BeginRound):
        return after
    if job.external_scores is not None:
        ranking = fuse(ranking, job.external_scores.scores, order, job.external_scores.weight)
    if ranking.method is Method.RESIDUAL:
        verdict = judge_match(ranking, known, order, quorum=quorum, policy=options.policy)
    else:
        verdict = judge(ranking, quorum=quorum, threshold=threshold)
    excluded = _defaults_of_new_members(ranking, rows, job.race)
    result = _document(job, rows, ranking, verdict, quorum, after).model_dump(mode="json", exclude=excluded)
    # With more time, a race that its deadline ended would have another result.
    cached = {} if after is RaceEnd.DEADLINE else _cache_values(settings, models, job, rows)
    return Succeed(result, rows, cached)


def _defaults_of_new_members(ranking: Ranking, rows: Sequence[JobSource], race: RaceRecord | None) -> dict[str, Any]:
    """The members to leave out of a result, so that the previous version can read it while an upgrade is under way.

    Nothing is lost: each of them has its default value, which a reader assumes where a member is missing.
    """
    of_each = set() if any(row.origin == Origin.REFERENCE for row in rows) else {"origin"}
    excluded: dict[str, Any] = {}
    if ranking.fusion is None:
        of_each |= {"external_score", "fused"}
        excluded["fusion"] = True
    if ranking.aggregate is Aggregate.MEAN:
        excluded["aggregate"] = True
    if race is None:
        excluded["race"] = True
    if ranking.method is Method.COSINE:
        of_each |= {"match", "probability"}
        excluded |= {"method": True, "estimate": True, "verdict": {"sources", "measured", "policy"}}
    return excluded | {"ranking": {"__all__": of_each}}


def pipeline_fingerprint(settings: Settings, models: Models, embedder: str) -> str:
    """What turns generated images into a result here, as a text that changes with it."""
    return pipeline_key(
        embedder,
        models.calibration.digest,
        settings.job.quorum_min,
        settings.job.quorum_share,
        _trust_list_digest(settings.intake.trust_list),
        settings.intake.crop_borders,
        FLOOR,
        RESULT_SCHEMA_VERSION,
    )


@lru_cache
def _trust_list_digest(trust_list: Path | None) -> str | None:
    """The trust list for signatures in files belongs to the pipeline: evidence is part of a result."""
    if trust_list is None:
        return None
    return digest_of_directory(trust_list) if trust_list.is_dir() else digest_of_file(trust_list)


def _cache_values(settings: Settings, models: Models, job: Job, rows: Sequence[JobSource]) -> dict[str, Any]:
    """The columns by which later jobs find this result; none where it may not be cached."""
    if job.result_key is None or job.embedder is None or not results.is_final(job, rows):
        return {}
    images = [image for row in rows for image in row.generated_images]
    generated_at = [image.generated_at for image in images if image.generated_at is not None]
    return {
        "pipeline_fingerprint": pipeline_fingerprint(settings, models, job.embedder),
        "result_computed_at": results.oldest_image_time(generated_at),
    }


def quorum_of(settings: JobSettings, requested: int) -> int:
    """How many of the requested sources must have been tested before a verdict may name one."""
    return max(settings.quorum_min, math.ceil(settings.quorum_share * requested))


def _threshold(models: Models, job: Job, embedder: ModelRef, rows: Sequence[JobSource]) -> Threshold | None:
    """The threshold that was measured for exactly this combination; None where there is none.

    Thresholds are measured with the default captioner and γ images of every source. They do not hold for another
    captioner's caption, for a source with fewer images, or for uploaded references, as it is unknown how those were
    selected.
    """
    options = job.method_options
    if job.prompt is None and options.captioner is not None and options.captioner != models.captioning()[0]:
        return None
    done = [row for row in rows if row.state == SourceState.DONE]
    if any(row.origin == Origin.REFERENCE or len(row.generated_images) != job.images_per_source for row in done):
        return None
    revisions = {row.source: row.revision for row in done}
    return models.calibration.find(embedder, options.distance, job.images_per_source, revisions, options.aggregate)


def _document(
    job: Job, rows: Sequence[JobSource], ranking: Ranking, verdict: Verdict, quorum: int, end: RaceEnd | None
) -> ResultDocument:
    by_source = {row.source: row for row in rows}
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
        method=ranking.method,
        estimate=ranking.estimate and EstimateDocument.model_validate(ranking.estimate),
        ranking=[
            RankedDocument(
                **asdict(entry),
                family=by_source[entry.source].family,
                origin=Origin(by_source[entry.source].origin),
            )
            for entry in ranking.entries
        ],
        margin=ranking.margin,
        fusion=ranking.fusion and FusionDocument.model_validate(ranking.fusion),
        verdict=VerdictDocument.model_validate(verdict),
        race=race_document(job, rows, end),
    )
