"""The base of all documents that callers read."""

from pydantic import BaseModel, ConfigDict


class Document(BaseModel):
    """Frozen, and without members that the schema does not name."""

    model_config = ConfigDict(frozen=True, extra="forbid", from_attributes=True)
