"""Remote sources: their keys, what they may cost, how many are asked at once."""

from datetime import timedelta
from decimal import Decimal

from pydantic import (
    ConfigDict,
    Field,
    PositiveInt,
    SecretStr,
)

from app.settings.group import Duration, Group


class RemoteSettings(Group):
    """Sources that somebody else serves: how they are asked. Their limits and prices are in the catalog."""

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
        description="counted for an image of an external source whose price the catalog does not know",
    )
    local_only: bool = Field(False, description="ask no source that prompts would leave the house for")


class VendorKeySettings(Group):
    """Keys to vendors of remote sources, by the names in docs/vendors.md or in a source's file; for the workers."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, SecretStr]

    def get(self, name: str) -> str | None:
        """The key of that name, None where there is none."""
        key = (self.__pydantic_extra__ or {}).get(name)
        return key.get_secret_value() if key is not None else None
