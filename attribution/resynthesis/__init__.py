"""The resynthesis stage: a source generates the caption again; what goes wrong becomes a state and a sentence."""

from attribution.resynthesis.blank import is_blank
from attribution.resynthesis.references import References, load_references
from attribution.resynthesis.seeds import derive_seeds
from attribution.resynthesis.stage import resynthesize

__all__ = ["References", "derive_seeds", "is_blank", "load_references", "resynthesize"]
