"""Addresses that callers hand us."""

import re
from datetime import timedelta
from ipaddress import ip_network
from typing import Annotated

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeInt,
    PositiveInt,
)

from app.settings.group import Duration, Group


def _host_or_network(value: str) -> str:
    try:
        ip_network(value, strict=False)
    except ValueError:
        if not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", value) or value.replace(".", "").isdecimal():
            raise ValueError("must be host names, IP addresses or networks such as 10.0.0.0/8") from None
    return value


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
