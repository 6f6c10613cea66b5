"""The resynthesis stage: a source generates images of the caption; a failure becomes a state and a sentence."""

from attribution.image import is_blank
from attribution.resynthesis.inputs import derive_seeds
from attribution.resynthesis.stage import (
    References,
    ResynthesisRequest,
    load_references,
    resynthesize,
    resynthesize_together,
)

__all__ = [
    "References",
    "ResynthesisRequest",
    "derive_seeds",
    "is_blank",
    "load_references",
    "resynthesize",
    "resynthesize_together",
]
