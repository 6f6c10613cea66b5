"""Values that rows keep as JSON: what is read and written is a frozen dataclass, not a dictionary."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator

from app.settings import ModelSettings
from attribution.ports import Aggregate, DistanceName, Method, Policy
from attribution.race import Budget, RaceRound


@dataclass(frozen=True, slots=True)
class MethodOptions:
    """The options of the method for one job. Later changes of the settings do not reach a job that was accepted."""

    distance: DistanceName
    aggregate: Aggregate
    captioner: str | None = None  # null: the default one
    embedder: str | None = None  # null: the default one
    method: Method = Method.COSINE
    policy: Policy = Policy.OPEN
    budget: Budget = Budget.FIXED

    @classmethod
    def chosen(
        cls,
        settings: ModelSettings,
        distance: DistanceName | None = None,
        aggregate: Aggregate | None = None,
        captioner: str | None = None,
        embedder: str | None = None,
        method: Method | None = None,
        policy: Policy | None = None,
        budget: Budget | None = None,
    ) -> "MethodOptions":
        """What a caller chose, and the settings' for the rest. A chosen distance or aggregate means the papers' method.

        Policy and budget belong to residuals: with the papers' method they have no effect.
        """
        if method is None:
            method = settings.method if distance is None and aggregate is None else Method.COSINE
        return cls(
            distance or settings.distance,
            aggregate or settings.aggregate,
            captioner,
            embedder,
            method,
            policy or settings.policy,
            budget or settings.budget,
        )

    def document(self) -> dict[str, str]:
        """As the row keeps it: without what is null."""
        return {name: str(value) for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_document(cls, document: dict[str, str]) -> "MethodOptions":
        """The inverse of `document`."""
        return cls(
            DistanceName(document["distance"]),
            Aggregate(document["aggregate"]),
            document.get("captioner"),
            document.get("embedder"),
            Method(document.get("method", Method.COSINE)),
            Policy(document.get("policy", Policy.OPEN)),
            Budget(document.get("budget", Budget.FIXED)),
        )


@dataclass(frozen=True, slots=True)
class ExternalScores:
    """Another method's scores by source, and the weight with which they are fused with the job's ranking."""

    scores: Mapping[str, float]
    weight: float

    def document(self) -> dict[str, Any]:
        """As the row keeps it."""
        return {"scores": self.scores, "weight": self.weight}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> "ExternalScores":
        """The inverse of `document`."""
        return cls(**document)


@dataclass(frozen=True, slots=True)
class RaceRecord:
    """The rounds of a job that races, the last of which may still run.

    Attributes:
        rounds: What was asked for, in order.
        at_least: How many images sources are asked for at least, where that is more than one.
    """

    rounds: tuple[RaceRound, ...]
    at_least: Mapping[str, int]

    def asked(self, source: str) -> int:
        """How many images the source was asked for so far."""
        rounds = [each.images for each in self.rounds if source in each.sources]
        return max([*rounds, self.at_least.get(source, 0)])

    def document(self) -> dict[str, Any]:
        """As the row keeps it."""
        rounds = [{"images": each.images, "sources": list(each.sources)} for each in self.rounds]
        return {"rounds": rounds, "at_least": dict(self.at_least)}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> "RaceRecord":
        """The inverse of `document`."""
        rounds = [RaceRound(each["images"], tuple(each["sources"])) for each in document["rounds"]]
        return cls(tuple(rounds), document["at_least"])


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """A generated image of a source in a job.

    Attributes:
        k: Its place among the images of its source, from 0.
        seed: Null where the source takes none, or the image was uploaded.
        blob: The SHA-256 of its bytes.
        prompt: Null unless a vendor generated another text than the caption.
        generated_at: ISO 8601; null unless the image came from the cache.
    """

    k: int
    seed: int | None
    blob: str
    prompt: str | None = None
    generated_at: str | None = None

    def document(self) -> dict[str, Any]:
        """As the row keeps it: `prompt` and `generated_at` only where there is one."""
        optional = {"prompt": self.prompt, "generated_at": self.generated_at}
        known = {name: value for name, value in optional.items() if value is not None}
        return {"k": self.k, "seed": self.seed, "blob": self.blob} | known


def image_documents(images: Iterable[ImageRecord]) -> list[dict[str, Any]]:
    """The images as a row keeps them, for statements that are given JSON."""
    return [image.document() for image in images]


JsonValue = MethodOptions | ExternalScores | RaceRecord


class DocumentType(TypeDecorator[Any]):
    """A JSON object, of which `kind` makes a frozen value: it has `document` and `from_document`."""

    impl = JSONB(none_as_null=True)
    cache_ok = True

    def __init__(self, kind: type["JsonValue"]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: "JsonValue | None", dialect: Dialect) -> Any:
        """To the row."""
        return None if value is None else value.document()

    def process_result_value(self, value: Any, dialect: Dialect) -> "JsonValue | None":
        """From the row."""
        return None if value is None else self.kind.from_document(value)


class ImageRecordsType(TypeDecorator[Sequence[ImageRecord]]):
    """A JSON array, in the order of k."""

    impl = JSONB(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: Sequence[ImageRecord] | None, dialect: Dialect) -> list[dict[str, Any]] | None:
        """To the row."""
        return None if value is None else image_documents(value)

    def process_result_value(self, value: list[dict[str, Any]] | None, dialect: Dialect) -> tuple[ImageRecord, ...]:
        """From the row."""
        return tuple(ImageRecord(**each) for each in value or ())
