"""The resynthesis stage: a source generates images of the caption; a failure becomes a state and a sentence."""

from attribution.image import is_blank
from attribution.resynthesis.inputs import derive_seeds
from attribution.resynthesis.stage import References, load_references, resynthesize

__all__ = ["References", "derive_seeds", "is_blank", "load_references", "resynthesize"]
