"""The embedding stage: E, the query and all its resyntheses in one batch."""

from attribution.embed.stage import embed_all

__all__ = ["embed_all"]
