"""The method: attributes an image to the generator that drew it, by letting every candidate draw it again.

No web, no queue, no database; nothing heavy is imported before it is needed.
"""

from attribution.caption import describe
from attribution.catalogue import Catalogue, Source, load_catalogue
from attribution.distance import distance_named
from attribution.embed import embed_all
from attribution.method import attribute
from attribution.rank import rank
from attribution.resynthesise import derive_seeds, resynthesise
from attribution.verdict import Calibration, judge

__all__ = [
    "Calibration",
    "Catalogue",
    "Source",
    "attribute",
    "derive_seeds",
    "describe",
    "distance_named",
    "embed_all",
    "judge",
    "load_catalogue",
    "rank",
    "resynthesise",
]
