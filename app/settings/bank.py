"""The bank of past jobs."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field, PositiveInt

from app.settings.group import Duration, Group

_SHIPPED = Path("zoo/models/bank.npz")


class BankSettings(Group):
    """What is kept of past jobs, so that rankings of later ones gain from them."""

    enabled: bool = Field(True, description="whether jobs contribute, and rankings use what past jobs contributed")
    window: PositiveInt = Field(300, description="past jobs of one feature space; older ones leave")
    contribute_every: Duration = Field(
        timedelta(seconds=5), description="how often workers look for jobs that have ended and not contributed"
    )
    snapshot_every: Duration = Field(
        timedelta(hours=1), description="after which contributions and deletions reach rankings, at the latest"
    )
    snapshot_jobs: PositiveInt = Field(50, description="new contributions that reach rankings at once")
    refresh: Duration = Field(timedelta(minutes=1), description="how long a worker uses a snapshot unchecked")
    shipped: tuple[Path, ...] | None = Field(
        None,
        description="banks that rankings use besides their own, behind it; by default that of the demo models, "
        f"{_SHIPPED}, where it exists",
    )

    @property
    def files(self) -> tuple[Path, ...]:
        """The shipped banks."""
        if self.shipped is not None:
            return self.shipped
        return (_SHIPPED,) if _SHIPPED.exists() else ()
