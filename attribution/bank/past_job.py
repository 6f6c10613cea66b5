"""What one job contributes to the bank: the residuals of its generated images, whose sources are known.

Never pixels, and nothing of the query.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from attribution.residual import Residuals


@dataclass(frozen=True, slots=True)
class PastJob:
    """The residuals of one job's generated images.

    Attributes:
        job: Its id.
        images: (γ, d) float16 per "source@revision".
        length: D of the residuals as they were computed; d is smaller where they were reduced.
    """

    job: str
    images: Mapping[str, NDArray[np.float16]]
    length: int

    def only(self, sources: Sequence[str]) -> "PastJob":
        """The part with these sources, as float32, with the mean over them subtracted."""
        images = {source: self.images[source].astype(np.float32) for source in sources if source in self.images}
        if not images:
            return replace(self, images={})
        content = np.mean([rows.mean(axis=0) for rows in images.values()], axis=0)
        return replace(self, images={source: rows - content for source, rows in images.items()})


def past_job(job: str, found: Residuals, revisions: Mapping[str, str]) -> PastJob:
    """A job's contribution; sources without a revision, such as reference images, contribute nothing."""
    images = {
        f"{source}@{revisions[source]}": rows.astype(np.float16)
        for source, rows in found.generated_images.items()
        if source in revisions
    }
    return PastJob(job, images, len(found.query))
