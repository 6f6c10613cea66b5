"""Every setting of the service, read once at start from the environment (`GROUP__NAME`) or from `GROUP__NAME_FILE`.

Durations are ISO 8601 or seconds. Secrets have no working default: a missing one stops the process at start.
"""

from functools import lru_cache

from pydantic_settings import BaseSettings, SettingsConfigDict

from app.settings.egress import OutboundSettings, WebhookSettings
from app.settings.group import MAX_AWAITED, Duration, Group
from app.settings.jobs import Certificates, IntakeSettings, JobSettings, ScreeningSettings
from app.settings.method import CatalogSettings, ModelSettings
from app.settings.stores import BlobSettings, CacheSettings, DatabaseSettings, RedisSettings, RetentionSettings
from app.settings.telemetry import LogSettings, MetricsSettings, TracingSettings
from app.settings.vendors import RemoteSettings, SpendSettings, VendorKeySettings
from app.settings.web import AccessSettings, ApiSettings, WaitingSettings

__all__ = [
    "MAX_AWAITED",
    "AccessSettings",
    "ApiSettings",
    "BlobSettings",
    "CacheSettings",
    "CatalogSettings",
    "Certificates",
    "DatabaseSettings",
    "Duration",
    "Group",
    "IntakeSettings",
    "JobSettings",
    "LogSettings",
    "MetricsSettings",
    "ModelSettings",
    "OutboundSettings",
    "RedisSettings",
    "RemoteSettings",
    "RetentionSettings",
    "ScreeningSettings",
    "Settings",
    "SpendSettings",
    "TracingSettings",
    "VendorKeySettings",
    "WaitingSettings",
    "WebhookSettings",
    "load_settings",
]


class Settings(BaseSettings):
    """The whole configuration. `Settings()` raises pydantic's ValidationError naming what is missing or wrong."""

    model_config = SettingsConfigDict(env_nested_delimiter="__", env_nested_max_split=1, frozen=True, extra="forbid")

    database: DatabaseSettings
    redis: RedisSettings
    blobs: BlobSettings = BlobSettings()
    catalog: CatalogSettings = CatalogSettings()
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
