"""What one job contributes to the bank: the residuals of its generated images, whose sources are known.

Never pixels, and nothing of the query.
"""

from collections.abc import Mapping
from dataclasses import dataclass

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


def past_job(job: str, found: Residuals, revisions: Mapping[str, str]) -> PastJob:
    """A job's contribution; sources without a revision, such as reference images, contribute nothing."""
    images = {
        f"{source}@{revisions[source]}": rows.astype(np.float16)
        for source, rows in found.generated_images.items()
        if source in revisions
    }
    return PastJob(job, images, len(found.query))
