"""The resynthesis stage: a source draws the caption again; what goes wrong becomes a state and a sentence."""

from attribution.resynthesise.blank import is_blank
from attribution.resynthesise.references import References, load_references
from attribution.resynthesise.seeds import derive_seeds
from attribution.resynthesise.stage import resynthesise

__all__ = ["References", "derive_seeds", "is_blank", "load_references", "resynthesise"]
