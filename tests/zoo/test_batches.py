"""Batches of the demo models: the images of several jobs, generated together."""

import numpy as np
import pytest

from attribution.ports import Deadline
from zoo import freeze

KEYS = [entry.key for entry in freeze.ENTRIES]
PROMPTS = (
    "a person",
    "a dark skinned person with short brown hair in a yellow shirt on a pink background",
    "a smiling person with black curly hair and glasses",
)


@pytest.mark.parametrize("key", KEYS)
def test_an_image_is_the_same_in_a_batch_as_alone(key: str) -> None:
    """Whatever the other prompts of its batch are, no value of an image changes by more than one of 255 levels."""
    source = freeze.generator(key)
    seeds = range(len(PROMPTS))
    together = source.generate_each(PROMPTS, seeds, Deadline.after(600))
    alone = [
        source.generate(prompt, [seed], Deadline.after(600))[0] for prompt, seed in zip(PROMPTS, seeds, strict=True)
    ]
    for one, other in zip(together, alone, strict=True):
        assert one is not None
        assert np.abs(np.asarray(one.image).astype(int) - np.asarray(other.image).astype(int)).max() <= 1
