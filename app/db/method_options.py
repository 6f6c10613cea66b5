"""What a job is compared by: resolved when it is accepted, and kept in its row's `method_options`."""

from dataclasses import asdict, dataclass
from typing import Any

from app.settings import ModelSettings
from attribution.ports import Aggregate, DistanceName


@dataclass(frozen=True, slots=True)
class MethodOptions:
    """What the caller chose of the method, or the settings where the caller did not."""

    distance: DistanceName
    aggregate: Aggregate

    @classmethod
    def of(cls, settings: ModelSettings, chosen: dict[str, Any] | None) -> "MethodOptions":
        """From a job's row, or from what was asked: what is missing there, or null, is as the settings say."""
        given = chosen or {}
        return cls(
            distance=DistanceName(given.get("distance") or settings.distance),
            aggregate=Aggregate(given.get("aggregate") or settings.aggregate),
        )

    def document(self) -> dict[str, Any]:
        """As the row keeps it."""
        return asdict(self)
