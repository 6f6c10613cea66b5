"""The active pipelines: with which captioners and which ways of ranking the workers compute results now.

Workers record them when they start. A cached result that was computed with anything else is not used.
"""

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.db.types import MethodOptions

_CAPTION, _RANK = "caption", "rank"


def caption_part(captioner: str | None = None) -> str:
    """The part under which a captioner is recorded: the default one, or one that jobs request by name."""
    return _CAPTION if captioner is None else f"{_CAPTION}/{captioner}"


def rank_part(embedder: str | None = None) -> str:
    """The part under which ranking is recorded: with the default embedder, or with one that jobs request by name."""
    return _RANK if embedder is None else f"{_RANK}/{embedder}"


def part_parameters(options: MethodOptions) -> dict[str, str]:
    """The parts that a job with these options uses, as the SQL parameters of `app.cache.results`."""
    return {"caption_part": caption_part(options.captioner), "rank_part": rank_part(options.embedder)}


def upsert_fingerprint(session: Session, part: str, fingerprint: str) -> None:
    """Records what the workers of this installation compute a part of results with from now on."""
    session.execute(_UPSERT, {"part": part, "fingerprint": fingerprint})


_UPSERT = text(
    """
    INSERT INTO active_pipelines AS active (part, fingerprint) VALUES (:part, :fingerprint)
    ON CONFLICT (part) DO UPDATE SET fingerprint = excluded.fingerprint, activated_at = now()
        WHERE active.fingerprint <> excluded.fingerprint
    """
)
