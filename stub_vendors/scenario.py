"""The scenarios of an order, and how tests select one."""

import re
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Scenario(StrEnum):
    """What happens to an order."""

    OK = "ok"
    REFUSED_PROMPT = "refused_prompt"
    REFUSED_OUTPUT = "refused_output"
    RATE_LIMITED = "rate_limited"
    QUOTA = "quota"
    SERVER_ERROR = "server_error"
    HANG = "hang"
    SLOW = "slow"
    BROKEN = "broken"  # a truncated image
    EXPIRED = "expired"  # the image's address no longer holds it
    HTML = "html"  # a page, with status 200
    FOREIGN = "foreign"  # addresses that lead to another host
    BLACK = "black"  # a black image without any flag
    SORRY = "sorry"  # of a chat: a refusal in plain text
    WITHHELD = "withheld"  # of a chat: a refusal in the `refusal` member, with status 200


class Behavior(BaseModel):
    """How one vendor behaves. A word such as [refused_prompt] in a prompt takes precedence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scenario: Scenario = Scenario.OK
    latency: float = Field(0.0, ge=0, description="seconds that a generated image takes")
    slow: float = Field(0.5, ge=0, description="seconds that a slow one takes")
    chances: dict[Scenario, float] = Field({}, description="of scenarios; else it is `scenario`")
    chance_seed: int = 0
    retry_after: float = Field(7, description="seconds in the response to a rate limit")
    concurrency: int | None = Field(None, ge=1, description="orders at once; more are rate limited")
    per_minute: int | None = Field(None, ge=1, description="orders in any minute; more are rate limited")
    foreign: str = Field("http://localhost:9", description="where addresses of another host lead to")
    side: int = Field(128, ge=16, le=2_048, description="pixels of a generated image")


_WORD = re.compile(r"\[([a-z_]+)\]")


def named_in(prompt: str) -> Scenario | None:
    """The scenario named in a prompt, such as [hang]."""
    for word in _WORD.findall(prompt):
        if word in list(Scenario):
            return Scenario(word)
    return None
