"""Requests to others: to URLs of callers, to webhook receivers, to vendors; and what those may cost."""

import re
from datetime import timedelta
from decimal import Decimal
from ipaddress import ip_network
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, NonNegativeInt, PositiveInt, SecretStr

from app.settings.group import Duration, Group


def _host_or_network(value: str) -> str:
    try:
        ip_network(value, strict=False)
    except ValueError:
        if not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", value) or value.replace(".", "").isdecimal():
            raise ValueError("must be host names, IP addresses or networks such as 10.0.0.0/8") from None
    return value


class EgressSettings(Group):
    """Requests to URLs from callers: images to fetch, webhooks. They reach public addresses only."""

    allow: tuple[Annotated[str, AfterValidator(_host_or_network)], ...] = Field(
        (), description="host names, IP addresses and networks that callers may use although they are not public"
    )
    https_only: bool = Field(False, description="refuse http:// URLs, of images and of webhooks alike")
    connect_timeout: Duration = Field(timedelta(seconds=5), description="per IP address that is tried")
    total_timeout: Duration = Field(timedelta(seconds=30), description="for fetching an image, redirects included")
    max_redirects: NonNegativeInt = Field(5, description="followed while fetching; webhooks follow none")
    user_agent: str = Field(
        "whodrew/1.0 (image attribution; +https://arxiv.org/abs/2510.24278)",
        description="the User-Agent of these requests; put a page or mail address of yours there, because many sites "
        "refuse programs without a contact",
    )


class WebhookSettings(Group):
    """Deliveries to webhook receivers. The schedule of attempts is Standard Webhooks' own."""

    allow_http: bool = Field(False, description="whether receivers may have http:// URLs; for development")
    timeout: Duration = Field(timedelta(seconds=20), description="of one attempt, from connecting to the response")
    concurrency: PositiveInt = Field(64, description="concurrent attempts of one process")
    per_host: PositiveInt = Field(8, description="of these, for one tenant to one host, which may hang")
    max_endpoints: PositiveInt = Field(20, description="endpoints of one tenant, disabled ones included")
    disable_after: Duration = Field(
        timedelta(days=5), description="an endpoint whose attempts have all failed for that long is disabled"
    )
    rotation_overlap: Duration = Field(
        timedelta(days=1), description="how long an endpoint's former secret signs beside the new one"
    )


class RemoteSettings(Group):
    """Remote sources: circuit breaker and identifiers. Their limits and prices are in the catalog."""

    circuit_failures: PositiveInt = Field(
        5, description="in a row, over all workers, that open a source's circuit breaker"
    )
    circuit_refusals: PositiveInt = Field(20, description="in a row that open a source's circuit breaker")
    circuit_open_for: Duration = Field(
        timedelta(seconds=30), description="until one call is tried; doubled each time it fails"
    )
    identifier_secret: SecretStr | None = Field(
        None,
        min_length=16,
        description="keys the hash by which vendors distinguish tenants (`safety_identifier`); none: a plain hash",
    )


class SpendSettings(Group):
    """What a job may spend on vendors, where neither the job nor its tenant has a value."""

    budget_usd: Decimal = Field(Decimal(5), ge=0, le=100_000, description="of a job")
    max_budget_usd: Decimal = Field(Decimal(50), ge=0, le=100_000, description="upper bound of a job's own budget")
    unknown_price_usd: Decimal = Field(
        Decimal("0.25"),
        ge=0,
        le=1_000,
        description="counted for an image of an external source without a price in the catalog",
    )
    local_only: bool = Field(False, description="use no source that sends prompts to third parties")


class VendorKeySettings(Group):
    """Keys to vendors of remote sources, by the names in docs/vendors.md or in a source's file; for the workers."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, SecretStr]

    def get(self, name: str) -> str | None:
        """The key of that name, None where there is none."""
        key = (self.__pydantic_extra__ or {}).get(name)
        return key.get_secret_value() if key is not None else None
