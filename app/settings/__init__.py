"""Every setting of the service, read once at start from the environment (`GROUP__NAME`) or from `GROUP__NAME_FILE`.

Durations are such as 90s, 1h30m or seconds. Secrets have no working default: a missing one is an error at start.
"""

from functools import lru_cache

from pydantic_settings import BaseSettings, SettingsConfigDict

from app.settings.bank import BankSettings
from app.settings.external import (
    EgressSettings,
    RemoteSettings,
    SpendSettings,
    VendorKeySettings,
    WebhookSettings,
)
from app.settings.group import MAX_AWAITED, Duration, Group, parse_duration
from app.settings.jobs import Certificates, IntakeSettings, JobSettings, ScreeningSettings
from app.settings.method import CatalogSettings, ModelSettings
from app.settings.service import (
    AccessSettings,
    ApiSettings,
    LogSettings,
    LongPollingSettings,
    MetricsSettings,
    TracingSettings,
)
from app.settings.stores import BlobSettings, CacheSettings, DatabaseSettings, RedisSettings, RetentionSettings

__all__ = [
    "MAX_AWAITED",
    "AccessSettings",
    "ApiSettings",
    "BankSettings",
    "BlobSettings",
    "CacheSettings",
    "CatalogSettings",
    "Certificates",
    "DatabaseSettings",
    "Duration",
    "EgressSettings",
    "Group",
    "IntakeSettings",
    "JobSettings",
    "LogSettings",
    "LongPollingSettings",
    "MetricsSettings",
    "ModelSettings",
    "RedisSettings",
    "RemoteSettings",
    "RetentionSettings",
    "ScreeningSettings",
    "Settings",
    "SpendSettings",
    "TracingSettings",
    "VendorKeySettings",
    "WebhookSettings",
    "load_settings",
    "parse_duration",
]


class Settings(BaseSettings):
    """The whole configuration. `Settings()` raises pydantic's ValidationError with what is missing or invalid."""

    model_config = SettingsConfigDict(env_nested_delimiter="__", env_nested_max_split=1, frozen=True, extra="forbid")

    database: DatabaseSettings
    redis: RedisSettings
    blobs: BlobSettings = BlobSettings()
    catalog: CatalogSettings = CatalogSettings()
    models: ModelSettings = ModelSettings()
    intake: IntakeSettings = IntakeSettings()
    job: JobSettings = JobSettings()
    bank: BankSettings = BankSettings()
    retention: RetentionSettings = RetentionSettings()
    cache: CacheSettings = CacheSettings()
    screening: ScreeningSettings = ScreeningSettings()
    vendor_keys: VendorKeySettings = VendorKeySettings()
    remote: RemoteSettings = RemoteSettings()
    spend: SpendSettings = SpendSettings()
    egress: EgressSettings = EgressSettings()
    webhooks: WebhookSettings = WebhookSettings()
    long_polling: LongPollingSettings = LongPollingSettings()
    access: AccessSettings = AccessSettings()
    api: ApiSettings = ApiSettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()
    tracing: TracingSettings = TracingSettings()


@lru_cache(maxsize=1)
def load_settings() -> Settings:
    """The process's settings, read at the first call."""
    return Settings()
