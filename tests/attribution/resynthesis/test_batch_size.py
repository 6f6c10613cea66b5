"""How many images are generated at once: measured, bounded, and reduced where memory ends."""

import pytest

from attribution.resynthesis.batch_size import BatchSize


def _settle(batch: BatchSize, seconds: dict[int, float]) -> int:
    for _ in range(30):
        batch.add_measurement(batch.size, seconds[batch.size] * batch.size)
    return batch.size


@pytest.mark.parametrize(
    ("seconds", "settled"),
    [
        ({4: 1.0, 8: 0.5, 16: 0.4, 32: 0.3}, 32),
        ({4: 1.0, 8: 0.8, 16: 0.79, 32: 0.1}, 8),
        ({4: 1.0, 8: 1.2}, 4),
    ],
)
def test_the_size_grows_as_long_as_an_image_becomes_cheaper(seconds: dict[int, float], settled: int) -> None:
    """It doubles up to the bound, and goes back to the size before where doubling gained less than 5 %."""
    assert _settle(BatchSize(32, measure=True), seconds) == settled


def test_a_fixed_number_stays() -> None:
    """A number from the catalog is used whatever is measured."""
    assert _settle(BatchSize(6), {6: 1.0}) == 6


def test_batches_that_are_not_full_say_nothing() -> None:
    """Fewer images than the size cost more each; that is no reason to stay small."""
    batch = BatchSize(8, measure=True)
    for _ in range(10):
        batch.add_measurement(1, 100.0)
    assert _settle(batch, {4: 1.0, 8: 0.5}) == 8


def test_memory_that_was_not_enough_is_not_tried_again() -> None:
    """Half of what did not fit is the bound from then on."""
    batch = BatchSize(32, measure=True)
    batch.reduce(16)
    assert _settle(batch, {8: 1.0, 16: 0.1}) == 8
