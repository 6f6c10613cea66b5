"""Every setting of the service, read once at start from the environment (`GROUP__NAME`) or from `GROUP__NAME_FILE`.

Durations are ISO 8601 or seconds. Secrets have no working default: a missing one stops the process at start.
"""

import re
import ssl
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    SecretStr,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from attribution.caption.spec import Spec, offered
from attribution.embed.spec import EmbedderSpec
from attribution.embed.spec import offered as offered_embedders
from attribution.errors import ConfigurationError
from attribution.ports import PRIOR_WEIGHT, Aggregate, DistanceName


def _seconds(value: object) -> object:
    """The environment only has text: a bare number in it means seconds."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than zero")
    return value


def _holds_certificates(path: Path) -> Path:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as error:  # SSLError is one
        raise ValueError("must be a file of PEM certificates") from error
    return path


Duration = Annotated[timedelta, BeforeValidator(_seconds), AfterValidator(_positive)]
# Nobody may have a job wait for drawings any longer.
MAX_AWAITED = timedelta(days=7)
Certificates = Annotated[Path, AfterValidator(_holds_certificates)]


class Group(BaseModel):
    """A nested group: frozen, and a misspelt name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _read_files(cls, values: dict[str, Any]) -> dict[str, Any]:
        """`name_file` stands for `name`: containers mount secrets as files. Raises where one cannot be read."""
        suffix = "_file"
        return {
            (key.removesuffix(suffix) if key.endswith(suffix) else key): (
                Path(value).read_text().strip() if key.endswith(suffix) else value
            )
            for key, value in values.items()
        }


class DatabaseSettings(Group):
    """Postgres: the truth."""

    url: SecretStr = Field(description="postgresql://user:password@host:port/name")
    pool_size: PositiveInt = Field(8, description="connections kept per process")
    max_overflow: NonNegativeInt = Field(8, description="connections above the pool, under load")
    connect_timeout: Duration = Field(timedelta(seconds=5), description="per connection attempt")


class RedisSettings(Group):
    """Redis or Valkey: the broker and the snapshots. May be lost with everything in it."""

    url: SecretStr = Field(description="redis://:password@host:port/0")
    timeout: Duration = Field(
        timedelta(seconds=1), description="connecting and answering, for snapshots and enqueueing"
    )
    snapshot_ttl: Duration = Field(timedelta(hours=1), description="how long an ended job is answered from Redis")
    progress_ttl: Duration = Field(timedelta(milliseconds=500), description="how stale a running job's answer may be")


class BlobSettings(Group):
    """Where images and vectors lie."""

    url: str = Field("file://.state/blobs", description="file://, s3://, gs:// or az:// as obstore understands it")


class CatalogueSettings(Group):
    """The sources this installation knows."""

    directories: tuple[Path, ...] = Field((Path("sources"),), description="folders of one TOML file per source")


class ModelSettings(Group):
    """What describes and what compares, and on which device."""

    captioner: str = Field(
        "blip:zoo/models/captioner",
        description="the usual one, as kind:which, e.g. blip:Salesforce/blip-image-captioning-large@COMMIT",
    )
    captioners: dict[str, str] = Field(
        {},
        description="others that a job may ask for as `captioner`, by the names it gives, as JSON, e.g. "
        '{"large": "blip:Salesforce/blip-image-captioning-large@COMMIT"}; docs/captions.md',
    )
    embedder: str = Field(
        "open_clip:local-dir:zoo/models/clip",
        description="the usual one, as kind:where, e.g. open_clip:ViT-L-14-336/openai or onnx:local-dir:DIRECTORY",
    )
    embedders: dict[str, str] = Field(
        {},
        description="others that a job may ask for as `embedder`, by the names it gives, as JSON, e.g. "
        '{"layer-8": "open_clip:ViT-L-14-336/openai#layer=8"}; docs/embedders.md',
    )
    distance: DistanceName = Field(DistanceName.COSINE, description="where the caller does not say")
    aggregate: Aggregate = Field(
        Aggregate.MEAN, description="of the distances of a source's drawings, where the caller does not say"
    )
    prior_weight: float = Field(
        PRIOR_WEIGHT, ge=0, le=1, description="of another method's scores that a caller sends as `prior`"
    )
    calibrations: tuple[Path, ...] = Field(
        (Path("zoo/models/calibration.json"),), description="thresholds that were measured"
    )
    device: str = Field("cpu", description="cpu, cuda, cuda:1, mps")
    dtype: Literal["float32", "float16", "bfloat16"] | None = Field(
        None, description="overrides the sources' own dtype"
    )
    offload: Literal["none", "model", "sequential"] = Field("none", description="diffusers' offloading, for small GPUs")
    batch_size: PositiveInt = Field(8, description="images drawn or embedded at once")
    memory_mb: PositiveInt = Field(16_000, description="upper bound of the generators kept loaded in one process")

    @model_validator(mode="after")
    def _readable(self) -> Self:
        """Read once, so that a misspelt one stops the start."""
        try:
            self.offered, self.offered_embedders  # noqa: B018 - raise
        except ConfigurationError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def offered(self) -> Mapping[str, Spec]:
        """The captioners that a job may name; the first is the usual one."""
        return offered(self.captioner, self.captioners)

    @property
    def offered_embedders(self) -> Mapping[str, EmbedderSpec]:
        """The embedders that a job may name; the first is the usual one."""
        return offered_embedders(self.embedder, self.embedders)


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
    max_references: PositiveInt = Field(64, description="drawings that one request may bring along, over all sources")
    max_reference_bytes: PositiveInt = Field(60_000_000, description="of these drawings together")
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
        description="the same for a job that waits for its caller's drawings, where that one does not say; 7 days at "
        "most",
    )
    lease: Duration = Field(
        timedelta(seconds=10), description="how long a claimed step may stay silent before it is tried again"
    )
    attempts: PositiveInt = Field(5, description="claims of one step before it ends as an error")
    step_timeout: Duration = Field(timedelta(minutes=5), description="of one stage other than resynthesising")
    hand_on_after: Duration = Field(
        timedelta(seconds=5), description="unclaimed that long, a step is enqueued again; doubles each time"
    )
    sweep_every: Duration = Field(timedelta(seconds=1), description="how often what stands still is looked for")
    candidates: int = Field(4, ge=1, le=16, description="γ where the caller does not say")
    quorum_share: float = Field(
        0.5, gt=0, le=1, description="share of the requested sources that must have been tested"
    )
    quorum_min: PositiveInt = Field(2, description="sources that must have been tested whatever the share")
    drain: PositiveInt = Field(8, description="jobs of one source drawn before a local worker looks at another source")
    max_open: PositiveInt = Field(10_000, description="jobs of all tenants that have not ended; more are answered 503")
    max_waiting: Duration = Field(
        timedelta(minutes=5), description="no more jobs are taken while one waits that long for anybody to begin it"
    )
    hand_back_after: Duration = Field(
        timedelta(seconds=20), description="after SIGTERM: what a worker has not finished by then it gives to others"
    )


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must begin with http:// or https:// and name a host")
    return value


class RetentionSettings(Group):
    """How long an ended job keeps what, for tenants that do not say otherwise. Enforced by beat."""

    images: Duration = Field(timedelta(days=30), description="the query image as uploaded and as seen, and drawings")
    captions: Duration = Field(timedelta(days=90), description="captions, prompts and what files said of themselves")
    results: Duration = Field(timedelta(days=365), description="everything else; then only a tombstone is left")
    every: Duration = Field(timedelta(minutes=1), description="how often it is enforced")
    strays_after: Duration = Field(
        timedelta(hours=1), description="bytes without a row, of a process that died while storing, are deleted then"
    )


class CacheSettings(Group):
    """Drawings and answers that are used again. They are those of jobs and go with them; nothing is kept twice."""

    enabled: bool = Field(True, description="whether anything is used again")
    ttl: Duration = Field(timedelta(days=7), description="how long after it was made, however often it is used")
    max_entries: PositiveInt = Field(
        100_000, description="drawings of one tenant that may be used again; the least recently used go first"
    )
    max_bytes: PositiveInt = Field(20_000_000_000, description="of these drawings, for each tenant")
    shared: bool = Field(
        False,
        description="whether tenants use each other's drawings, of which each keeps a copy of its own; answers never",
    )
    every: Duration = Field(timedelta(minutes=15), description="how often the bounds are enforced")


class ScreeningSettings(Group):
    """What is asked before anything is drawn, besides the hash lists and text rules in the database."""

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


class RemoteSettings(Group):
    """Sources that somebody else serves: how they are asked. Their limits and prices are in the catalogue."""

    circuit_failures: PositiveInt = Field(
        5, description="in a row, after which a source is left alone; all workers count together"
    )
    circuit_refusals: PositiveInt = Field(20, description="in a row, after which a source is left alone")
    circuit_open_for: Duration = Field(
        timedelta(seconds=30), description="how long at first; then one call tries, and doubles it if it fails, too"
    )
    identifier_secret: SecretStr | None = Field(
        None,
        min_length=16,
        description="keys the hash by which vendors tell tenants apart (`safety_identifier`); none: a plain hash",
    )


class SpendSettings(Group):
    """What jobs may spend on vendors, and whether anything leaves the house, where neither job nor tenant says."""

    budget_usd: Decimal = Field(Decimal(5), ge=0, le=100_000, description="of one job that does not say")
    max_budget_usd: Decimal = Field(Decimal(50), ge=0, le=100_000, description="that one job may say")
    unknown_price_usd: Decimal = Field(
        Decimal("0.25"),
        ge=0,
        le=1_000,
        description="counted for an image of an external source whose price the catalogue does not know",
    )
    local_only: bool = Field(False, description="ask no source that prompts would leave the house for")


def _host_or_network(value: str) -> str:
    try:
        ip_network(value, strict=False)
    except ValueError:
        if not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", value) or value.replace(".", "").isdecimal():
            raise ValueError("must be host names, IP addresses or networks such as 10.0.0.0/8") from None
    return value


class VendorKeySettings(Group):
    """Keys to vendors of remote sources, by the names in docs/vendors.md or in a source's file; for the workers."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, SecretStr]

    def get(self, name: str) -> str | None:
        """The key of that name, None where there is none."""
        key = (self.__pydantic_extra__ or {}).get(name)
        return key.get_secret_value() if key is not None else None


class OutboundSettings(Group):
    """Requests to addresses that callers hand us: images to fetch, webhooks. They reach public addresses only."""

    allow: tuple[Annotated[str, AfterValidator(_host_or_network)], ...] = Field(
        (), description="host names, IP addresses and networks of ours that callers may name although not public"
    )
    https_only: bool = Field(False, description="refuse http:// addresses, of images and of webhooks alike")
    connect_timeout: Duration = Field(timedelta(seconds=5), description="per IP address that is tried")
    total_timeout: Duration = Field(timedelta(seconds=30), description="for fetching an image, redirects included")
    max_redirects: NonNegativeInt = Field(5, description="followed while fetching; webhooks follow none")
    user_agent: str = Field("whodrew", description="how requests introduce themselves")


class WebhookSettings(Group):
    """Telling receivers what became of jobs. The schedule of attempts is Standard Webhooks' own."""

    allow_http: bool = Field(False, description="whether receivers may be http:// addresses; for trying things out")
    timeout: Duration = Field(timedelta(seconds=20), description="for one attempt, from connecting to the answer")
    concurrency: PositiveInt = Field(64, description="attempts at once in one process")
    per_host: PositiveInt = Field(8, description="of these, at one host, which may hang")
    rotation_overlap: Duration = Field(
        timedelta(days=1), description="how long an endpoint's former secret goes on signing beside the new one"
    )


class WaitingSettings(Group):
    """Callers that keep a connection open until something happens; all numbers are per API process."""

    waiters: PositiveInt = Field(1_000, description="waiting for a job's end at once; more are answered without a wait")
    watchers: PositiveInt = Field(
        100, description="watching a job's progress at once (event streams, waits for a change); more are answered 503"
    )
    look_every: Duration = Field(timedelta(milliseconds=500), description="how often a watcher looks for progress")
    check_every: Duration = Field(
        timedelta(seconds=2), description="how often Postgres is asked which of the awaited jobs ended without notice"
    )
    heartbeat: Duration = Field(timedelta(seconds=15), description="silence after which a stream sends a comment")


class AccessSettings(Group):
    """Who may do what. Keys, tenants and their own limits are in the database; `python -m app` manages them."""

    anonymous: bool = Field(
        False, description="whether whoever sends no key is the default tenant with all scopes; for a laptop"
    )
    requests_per_minute: PositiveInt = Field(3_000, description="of one key, where neither it nor its tenant says so")
    concurrent_jobs: PositiveInt = Field(1_000, description="of one tenant that have not ended, where it says nothing")
    key_cache: Duration = Field(
        timedelta(seconds=5),
        le=timedelta(seconds=10),
        description="how long a process remembers a key, and so how long a revoked one may still open; 10 s at most",
    )


class ApiSettings(Group):
    """What browsers are told."""

    cors_origins: tuple[str, ...] = Field(
        (), description="origins whose pages may call the API, such as https://console.example; none by default"
    )
    https: bool = Field(
        False, description="whether callers reach the API by https only: browsers are then told to insist on it (HSTS)"
    )


class LogSettings(Group):
    """Structured logs to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"
    reads: bool = Field(False, description="also log answered GET requests that succeeded: polling makes many")


class MetricsSettings(Group):
    """What Prometheus fetches: the API has it at `/metrics`, each other process on a port of its own."""

    port: int = Field(0, ge=0, le=65_535, description="where a worker process answers; 0: nowhere")
    host: str = Field("127.0.0.1", description="the address that a worker process binds for it")
    token: SecretStr | None = Field(
        None,
        min_length=16,
        description="what the API's `/metrics` asks for as `Authorization: Bearer`; none: anybody may read it",
    )


class TracingSettings(Group):
    """Traces for an OpenTelemetry collector, off unless an endpoint is set; the standard OTEL_ variables work, too."""

    endpoint: Annotated[str, AfterValidator(_http_url)] | None = Field(
        None, description="the collector's address for OTLP over HTTP, e.g. http://collector:4318/v1/traces"
    )


class Settings(BaseSettings):
    """The whole configuration. `Settings()` raises pydantic's ValidationError naming what is missing or wrong."""

    model_config = SettingsConfigDict(env_nested_delimiter="__", env_nested_max_split=1, frozen=True, extra="forbid")

    database: DatabaseSettings
    redis: RedisSettings
    blobs: BlobSettings = BlobSettings()
    catalogue: CatalogueSettings = CatalogueSettings()
    models: ModelSettings = ModelSettings()
    intake: IntakeSettings = IntakeSettings()
    job: JobSettings = JobSettings()
    retention: RetentionSettings = RetentionSettings()
    cache: CacheSettings = CacheSettings()
    screening: ScreeningSettings = ScreeningSettings()
    vendor_keys: VendorKeySettings = VendorKeySettings()
    remote: RemoteSettings = RemoteSettings()
    spend: SpendSettings = SpendSettings()
    outbound: OutboundSettings = OutboundSettings()
    webhooks: WebhookSettings = WebhookSettings()
    waiting: WaitingSettings = WaitingSettings()
    access: AccessSettings = AccessSettings()
    api: ApiSettings = ApiSettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()
    tracing: TracingSettings = TracingSettings()


@lru_cache(maxsize=1)
def load_settings() -> Settings:
    """The process's settings, read at the first call."""
    return Settings()
