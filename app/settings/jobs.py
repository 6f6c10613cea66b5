"""A job from its acceptance to its end: intake, steps, screening."""

import ssl
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, PositiveInt, SecretStr

from app.settings.group import MAX_AWAITED, Duration, Group, HttpUrl


def _holds_certificates(path: Path) -> Path:
    files = sorted(path.glob("*.pem")) if path.is_dir() else [path]
    try:
        for file in files:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except OSError as error:  # SSLError is one
        raise ValueError("must be a file of PEM certificates, or a folder of *.pem files") from error
    if not files:
        raise ValueError("must have *.pem files, if it is a folder")
    return path


Certificates = Annotated[Path, AfterValidator(_holds_certificates)]


class IntakeSettings(Group):
    """Limits on uploads and on decoding them."""

    max_bytes: PositiveInt = Field(20_000_000, description="of one uploaded image")
    max_pixels: PositiveInt = Field(50_000_000, description="width times height")
    max_frames: PositiveInt = Field(1_000, description="of an animation")
    canonical_side: PositiveInt = Field(
        1_024, description="longest side of the canonical image that is captioned and embedded"
    )
    crop_borders: bool = Field(True, description="cut off borders of one color from query images")
    decoders: PositiveInt = Field(3, description="child processes that decode")
    decoders_per_tenant: PositiveInt = Field(
        2, description="of these, how many one tenant may have at once; fewer than all leave room for the others"
    )
    decode_wait: Duration = Field(
        timedelta(seconds=20), description="how long a request waits for a free decoder; then it is a 503"
    )
    decode_timeout: Duration = Field(
        timedelta(seconds=4), description="CPU time of one image; a stalled child is killed after six times that"
    )
    decode_memory_mb: PositiveInt = Field(1_024, description="address space of one decoder")
    trust_list: Certificates | None = Field(
        None,
        description="PEM certificates of the issuers whose content credentials (C2PA) are trusted: a file, or a folder "
        "of *.pem files, each a list of its own",
    )
    max_references: PositiveInt = Field(64, description="reference images of one request, over all sources")
    max_reference_bytes: PositiveInt = Field(60_000_000, description="of these reference images together")
    upload_timeout: Duration = Field(timedelta(minutes=2), description="within which the whole body must have arrived")
    min_upload_rate: PositiveInt = Field(
        4_096, description="bytes a second that a body must arrive with on average, after its first ten seconds"
    )
    concurrent_uploads: PositiveInt = Field(96, description="concurrent uploads; more are a 503")
    uploads_per_tenant: PositiveInt = Field(64, description="of these, those of one tenant")
    batch_timeout: Duration = Field(
        timedelta(minutes=1), description="of a batch, from its body on; items that are left then are a 503"
    )
    max_batch_bytes: PositiveInt = Field(60_000_000, description="of the body of a batch, images in base64 included")
    idempotency_ttl: Duration = Field(
        timedelta(hours=24), description="how long an Idempotency-Key is stored, from its first request on"
    )


class JobSettings(Group):
    """How long a job and its steps may take, and how often they are tried."""

    deadline: Duration = Field(timedelta(minutes=15), description="from acceptance to the end of a job")
    reference_deadline: Duration = Field(
        timedelta(days=1),
        le=MAX_AWAITED,
        description="the same for a job that waits for reference images, by default; 7 days at most",
    )
    lease: Duration = Field(
        timedelta(seconds=10), description="how long a claimed step may stay silent before it is claimed again"
    )
    attempts: PositiveInt = Field(5, description="claims of one step before it ends as an error")
    step_timeout: Duration = Field(timedelta(minutes=5), description="of one stage other than resynthesizing")
    requeue_after: Duration = Field(
        timedelta(seconds=5), description="a step that is unclaimed that long is enqueued again; doubles each time"
    )
    sweep_every: Duration = Field(timedelta(seconds=1), description="how often the sweep requeues stalled steps")
    images_per_source: int = Field(4, ge=1, le=16, description="γ where the job has none")
    quorum_share: float = Field(
        0.5, gt=0, le=1, description="share of the requested sources that must have been tested"
    )
    quorum_min: PositiveInt = Field(2, description="sources that must have been tested whatever the share")
    max_open: PositiveInt = Field(
        10_000,
        description="open jobs of all tenants; while there are more, a tenant that has more than its share of them is "
        "refused (503)",
    )
    max_waiting: Duration = Field(
        timedelta(minutes=5),
        description="a tenant's jobs are refused (503) while one of them has been waiting that long to begin",
    )
    release_after: Duration = Field(
        timedelta(seconds=20), description="after SIGTERM: a worker releases the steps that it has not finished by then"
    )


class ScreeningSettings(Group):
    """Screening before anything is generated, besides the hash lists and text rules in the database."""

    hooks: tuple[str, ...] = Field(
        (),
        description="package.module:name of objects that workers.screening.Hook describes; none by default",
    )
    endpoint: HttpUrl | None = Field(
        None, description="your moderation service, called for every image and text; need not be public"
    )
    endpoint_token: SecretStr | None = Field(None, description="sent to the endpoint as `Authorization: Bearer`")
    endpoint_timeout: Duration = Field(timedelta(seconds=10), description="of one call of the endpoint")
    refresh: Duration = Field(
        timedelta(seconds=5), description="after which a changed hash list or text rule is applied, at the latest"
    )
    max_list_bytes: PositiveInt = Field(
        20_000_000, description="of a hash list that is uploaded; the command line has no limit"
    )

    @property
    def waits(self) -> bool:
        """Whether screening may wait for other services; the worker with the captioner then does not do it."""
        return bool(self.hooks or self.endpoint)
