"""What every adapter must do in every case, and what a vendor's row may say of itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from attribution.catalog.source import Parameter
from attribution.ports import SourceState


class Case(StrEnum):
    """A case of the contract tests; the value is its name in docs/vendors.md."""

    OK = "ok"
    SEED = "seed"
    REFUSED_PROMPT = "refused prompt"
    REFUSED_OUTPUT = "refused output"
    RATE_LIMITED = "rate limited"
    QUOTA = "quota"
    TIMEOUT = "timeout"
    SERVER_ERROR = "5xx"
    BROKEN_IMAGE = "broken image"
    SLOW = "slow"
    EXPIRED_URL = "expired URL"
    WRONG_KEY = "wrong key"
    HTML = "HTML"
    FOREIGN_URL = "foreign URL"


@dataclass(frozen=True, slots=True)
class Expected:
    """The stub's scenario, the expected state, and the billed images."""

    scenario: str
    state: SourceState
    billed: int


EXPECTED: Mapping[Case, Expected] = {
    Case.OK: Expected("ok", SourceState.DONE, 1),
    Case.SEED: Expected("ok", SourceState.DONE, 1),
    Case.REFUSED_PROMPT: Expected("refused_prompt", SourceState.REFUSED_PROMPT, 0),
    Case.REFUSED_OUTPUT: Expected("refused_output", SourceState.REFUSED_OUTPUT, 1),
    Case.RATE_LIMITED: Expected("rate_limited", SourceState.RATE_LIMITED, 0),
    Case.QUOTA: Expected("quota", SourceState.QUOTA, 0),
    Case.TIMEOUT: Expected("hang", SourceState.TIMEOUT, 1),
    Case.SERVER_ERROR: Expected("server_error", SourceState.UNAVAILABLE, 0),
    Case.BROKEN_IMAGE: Expected("broken", SourceState.ERROR, 1),
    Case.SLOW: Expected("slow", SourceState.DONE, 1),
    Case.EXPIRED_URL: Expected("expired", SourceState.ERROR, 1),
    Case.WRONG_KEY: Expected("ok", SourceState.UNAVAILABLE, 0),
    Case.HTML: Expected("html", SourceState.ERROR, 1),
    Case.FOREIGN_URL: Expected("foreign", SourceState.ERROR, 1),
}

RETRY_AFTER = 7.0  # what stubs say after a rate limit, where their vendor says anything


@dataclass(frozen=True, slots=True)
class Contract:
    """One vendor's row.

    `path` is the base URL's below the stub's; `{stub}` in a parameter is the stub's address; `not_applicable` needs a
    reason; `unbilled` are cases after which this vendor bills nothing although others do; `retry_after` is what the
    adapter must make of a rate limit; `key` is a form that holds {key}; where `trades_key`, a wrong one is refused
    before anything could be ordered.
    """

    adapter: str
    title: str
    path: str
    model: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    not_applicable: Mapping[Case, str] = field(default_factory=dict)
    unbilled: frozenset[Case] = frozenset()
    retry_after: float | None = RETRY_AFTER
    key: str = "{key}"
    trades_key: bool = False

    def expected(self, case: Case) -> Expected:
        """The expected result of a case with this vendor."""
        usual = EXPECTED[case]
        return Expected(usual.scenario, usual.state, 0) if case in self.unbilled else usual

    @property
    def cases(self) -> list[Case]:
        """The cases that are applicable to this vendor."""
        return [case for case in Case if case not in self.not_applicable]
