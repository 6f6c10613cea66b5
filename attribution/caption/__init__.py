"""The captioning stage: p(I), one sentence that every source is given."""

from attribution.caption.stage import describe

__all__ = ["describe"]
