"""As SQL: which ended job has the answer to a question, by the method that is in force, and is young enough.

It is asked for in the statement that inserts a job, so that looking costs acceptance no round trip.
"""

CAPTION, RANK = "caption", "rank"

# Of the table `d`; the question is that of a tenant, the prompt null where the image is captioned.
USABLE = """
    d.tenant_id = :tenant_id AND d.result_key = :result_key
    AND d.pipeline_fingerprint = (SELECT fingerprint FROM active_pipelines WHERE part = :rank_part)
    AND (CAST(:prompt AS text) IS NOT NULL
         OR d.captioner = (SELECT fingerprint FROM active_pipelines WHERE part = :caption_part))
    AND coalesce(d.result_computed_at, d.completed_at) > now() - CAST(:result_ttl AS interval)
"""
# The newest one has passed the newest screening.
NEWEST = f"SELECT d.id, d.caption FROM jobs d WHERE {USABLE} ORDER BY d.completed_at DESC LIMIT 1"  # noqa: S608 - our own words
NEWEST_ID = f"(SELECT newest.id FROM ({NEWEST}) AS newest)"  # noqa: S608 - our own words


def caption_part(captioner: str | None) -> str:
    """Under which part the captioner of a job is in force: the default, or one that it asked for by name."""
    return CAPTION if captioner is None else f"{CAPTION}/{captioner}"


def rank_part(embedder: str | None) -> str:
    """Under which part the way in which a job is ranked is in force: by the default embedder, or one that it named."""
    return RANK if embedder is None else f"{RANK}/{embedder}"
