"""Inserts finished jobs by the million, as a service has after a year, without running them."""

import json
import uuid

import psycopg

from app.db.models import DEFAULT_TENANT, RESULT_SCHEMA_VERSION
from app.documents import RankedDocument, ResultDocument, VerdictDocument
from attribution.ports import Reason, VerdictKind

SOURCES = 10
_BATCH = 20_000


def seed(database_url: str, total: int) -> list[uuid.UUID]:
    """Adds finished jobs with ten sources each until there are `total`; returns a thousand ids, spread evenly."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        row = connection.execute("SELECT count(*) FROM jobs WHERE status = 'succeeded'").fetchone()
        have = row[0] if row else 0
        while have < total:
            some = min(_BATCH, total - have)
            given = {"first": have, "last": have + some - 1, "tenant": DEFAULT_TENANT, "result": json.dumps(_result())}
            connection.execute(_JOBS, given)
            have += some
        connection.execute("VACUUM ANALYZE jobs, job_sources")
        ids = connection.execute(
            "SELECT id FROM jobs WHERE external_id LIKE 'seed-%%' AND right(external_id, 3) = '007' LIMIT 1000"
            if total > 100_000
            else "SELECT id FROM jobs WHERE external_id LIKE 'seed-%%' LIMIT 1000"
        ).fetchall()
    return [job_id for (job_id,) in ids]


def _result() -> dict[str, object]:
    return ResultDocument(
        schema_version=RESULT_SCHEMA_VERSION,
        caption="a lighthouse on a rock at dusk, with a boat in front of it",
        captioner="blip@0123456789",
        embedder="open_clip:ViT-L-14-336@0123456789",
        distance="cosine",
        images_per_source=4,
        quorum=5,
        temperature=0.05,
        calibrated=False,
        ranking=[
            RankedDocument(
                source=f"source-{k}", family="bench", distance=0.2 + 0.03 * k, score=0.1, distances=[0.2 + 0.03 * k] * 4
            )
            for k in range(SOURCES)
        ],
        margin=0.03,
        verdict=VerdictDocument(kind=VerdictKind.INCONCLUSIVE, source=None, reason=Reason.UNCALIBRATED, threshold=None),
    ).model_dump(mode="json")


_JOBS = """
    WITH made AS (
        INSERT INTO jobs (tenant_id, status, stage, images_per_source, image, caption, captioner, embedder, result,
                          external_id, created_at, started_at, completed_at, deadline_at, timings)
        SELECT %(tenant)s, 'succeeded', NULL, 4,
               '{"format": "JPEG", "width": 1024, "height": 1024, "frames": 1, "size": 200000,
                 "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}',
               'a lighthouse', 'blip@0123456789', 'open_clip@0123456789', %(result)s::jsonb, 'seed-' || n,
               now() - make_interval(secs => n), now() - make_interval(secs => n),
               now() - make_interval(secs => n), now() - make_interval(secs => n), '{"screening": 0.01}'
        FROM generate_series(%(first)s::int, %(last)s::int) AS n
        RETURNING id, tenant_id, completed_at
    )
    INSERT INTO job_sources (job_id, tenant_id, position, source, family, platform, model, revision, queue,
                             timeout_seconds, state, generated_images, completed_at)
    SELECT made.id, made.tenant_id, k, 'source-' || k, 'bench', 'bench', 'model', '1', 'remote', 20, 'done',
           '[{"seed": 1, "blob": "a"}, {"seed": 2, "blob": "b"}, {"seed": 3, "blob": "c"}, {"seed": 4, "blob": "d"}]',
           made.completed_at
    FROM made, generate_series(0, 9) AS k
"""
