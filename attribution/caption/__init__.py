"""The captioning stage: p(I), one sentence that is sent to every source."""

from attribution.caption.stage import GIVEN, GivenCaptioner, describe

__all__ = ["GIVEN", "GivenCaptioner", "describe"]
