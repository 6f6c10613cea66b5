"""Generated images without a model: colored blocks that depend on vendor, prompt and seed."""

from functools import lru_cache
from io import BytesIO

from PIL import Image

from attribution.ports import Deadline, ModelRef
from attribution.resynthesis.fake import FakeBehavior, FakeGenerator


@lru_cache(maxsize=256)
def generate(vendor: str, prompt: str, seed: int, side: int) -> bytes:
    """A PNG."""
    fake = FakeGenerator(vendor, ModelRef(vendor, "stub"), FakeBehavior(size=side))
    return _png(fake.generate(prompt, [seed], Deadline.after(60))[0].image)


def black(side: int) -> bytes:
    """A black image, as safety filters return it."""
    return _png(Image.new("RGB", (side, side)))


def _png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
