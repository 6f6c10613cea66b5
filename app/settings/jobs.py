"""What happens to a job: intake, its stages, screening."""

import ssl
from datetime import timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    PositiveInt,
    SecretStr,
)

from app.settings.group import MAX_AWAITED, Duration, Group


def _holds_certificates(path: Path) -> Path:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as error:  # SSLError is one
        raise ValueError("must be a file of PEM certificates") from error
    return path


Certificates = Annotated[Path, AfterValidator(_holds_certificates)]


class IntakeSettings(Group):
    """What an upload may be, and what decoding it may cost."""

    max_bytes: PositiveInt = Field(20_000_000, description="of one uploaded image")
    max_pixels: PositiveInt = Field(50_000_000, description="width times height")
    max_frames: PositiveInt = Field(1_000, description="of an animation; the first one is taken")
    canonical_side: PositiveInt = Field(
        1_024, description="longest side of the canonical image that is captioned and embedded"
    )
    decoders: PositiveInt = Field(3, description="child processes that decode")
    decode_timeout: Duration = Field(
        timedelta(seconds=20), description="computing time of one image; a child that stands still gets six times that"
    )
    decode_memory_mb: PositiveInt = Field(1_024, description="address space of one decoder")
    trust_list: Certificates | None = Field(
        None, description="PEM certificates of the issuers whose content credentials (C2PA) are trusted"
    )
    max_references: PositiveInt = Field(
        64, description="generated images that one request may bring along, over all sources"
    )
    max_reference_bytes: PositiveInt = Field(60_000_000, description="of these generated images together")
    upload_timeout: Duration = Field(timedelta(minutes=2), description="within which the whole body must have arrived")
    concurrent_uploads: PositiveInt = Field(64, description="uploads read at once; more are answered 503")
    max_batch_bytes: PositiveInt = Field(60_000_000, description="of the body of a batch, images in base64 included")
    idempotency_ttl: Duration = Field(
        timedelta(hours=24), description="how long an Idempotency-Key is remembered, from its first request on"
    )


class JobSettings(Group):
    """How long a job and its steps may take, and how often they are tried."""

    deadline: Duration = Field(timedelta(minutes=15), description="from acceptance to the end of a job")
    reference_deadline: Duration = Field(
        timedelta(days=1),
        le=MAX_AWAITED,
        description="the same for a job that waits for its caller's generated images, where that one does not say; 7 days at "
        "most",
    )
    lease: Duration = Field(
        timedelta(seconds=10), description="how long a claimed step may stay silent before it is tried again"
    )
    attempts: PositiveInt = Field(5, description="claims of one step before it ends as an error")
    step_timeout: Duration = Field(timedelta(minutes=5), description="of one stage other than resynthesizing")
    requeue_after: Duration = Field(
        timedelta(seconds=5), description="unclaimed that long, a step is enqueued again; doubles each time"
    )
    sweep_every: Duration = Field(timedelta(seconds=1), description="how often what stands still is looked for")
    images_per_source: int = Field(4, ge=1, le=16, description="γ where the caller does not say")
    quorum_share: float = Field(
        0.5, gt=0, le=1, description="share of the requested sources that must have been tested"
    )
    quorum_min: PositiveInt = Field(2, description="sources that must have been tested whatever the share")
    drain: PositiveInt = Field(
        8, description="jobs of one source generated before a local worker looks at another source"
    )
    max_open: PositiveInt = Field(10_000, description="jobs of all tenants that have not ended; more are answered 503")
    max_waiting: Duration = Field(
        timedelta(minutes=5), description="no more jobs are taken while one waits that long for anybody to begin it"
    )
    release_after: Duration = Field(
        timedelta(seconds=20), description="after SIGTERM: what a worker has not finished by then it gives to others"
    )


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must begin with http:// or https:// and name a host")
    return value


class ScreeningSettings(Group):
    """What is asked before anything is generated, besides the hash lists and text rules in the database."""

    hooks: tuple[str, ...] = Field(
        (),
        description="package.module:name of objects that workers.screening.Hook describes; none by default",
    )
    endpoint: Annotated[str, AfterValidator(_http_url)] | None = Field(
        None, description="your moderation service, asked about every image and text; need not be public"
    )
    endpoint_token: SecretStr | None = Field(None, description="sent to the endpoint as `Authorization: Bearer`")
    endpoint_timeout: Duration = Field(timedelta(seconds=10), description="for one whole answer of the endpoint")
    refresh: Duration = Field(
        timedelta(seconds=5), description="after which a changed hash list or text rule is in force, at the latest"
    )
    max_list_bytes: PositiveInt = Field(
        20_000_000, description="of a hash list that is uploaded; the command line takes any"
    )

    @property
    def waits(self) -> bool:
        """Whether screening may wait for others; it is then not done by the worker that holds the captioner."""
        return bool(self.hooks or self.endpoint)
