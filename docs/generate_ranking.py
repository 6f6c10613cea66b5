"""Generates docs/figures/ranking.png, how an image becomes a ranking: the method runs on the sample image for it.

`python docs/generate_ranking.py`, from anywhere, with the ml extra; it takes the shipped small models.
"""

import sys
from functools import partial
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from attribution.build import Placement, build_captioner, build_embedder, build_generator  # noqa: E402
from attribution.catalog import load_catalog  # noqa: E402
from attribution.distance import distance_named  # noqa: E402
from attribution.image import load  # noqa: E402
from attribution.method import attribute  # noqa: E402
from attribution.ports import Attribution, Method  # noqa: E402
from attribution.resynthesis.pool import GeneratorPool  # noqa: E402

TARGET = REPOSITORY / "docs" / "figures" / "ranking.png"
SOURCES = ("zoo-dit", "zoo-lcm", "zoo-mmdit", "zoo-unet")
IMAGES_PER_SOURCE = 4
TILE, GAP, TOP, LEFT = 96, 12, 92, 300
INK, GRAY, BEST = "#1b1f24", "#57606a", "#0a7d33"


def run(query: Image.Image) -> Attribution:
    """The method as it is shipped, over four sources."""
    catalog, placement = load_catalog([REPOSITORY / "sources"]), Placement()
    pool = GeneratorPool(partial(build_generator, placement=placement), placement.memory_mb)
    models = REPOSITORY / "zoo" / "models"
    return attribute(
        query,
        captioner=build_captioner(f"blip:{models / 'captioner'}", placement),
        generators=[pool.handle(catalog.get(source)) for source in SOURCES],
        embedder=build_embedder(f"open_clip:local-dir:{models / 'clip'}", placement),
        distance=distance_named("cosine"),
        method=Method.COSINE,
        images_per_source=IMAGES_PER_SOURCE,
    )


def draw(query: Image.Image, answer: Attribution) -> Image.Image:
    """The query on the left; a row for each source, nearest first, with its generated images and their distances."""
    rows = answer.ranking.entries
    width, height = LEFT + IMAGES_PER_SOURCE * (TILE + GAP) + 330, TOP + len(rows) * (TILE + 34) + 10
    sheet = Image.new("RGB", (width, height), "white")
    pen, font, small = ImageDraw.Draw(sheet), ImageFont.load_default(17), ImageFont.load_default(14)
    pen.text((20, 20), "the image", INK, font)
    pen.text((LEFT, 20), f"what each source generates from the caption, {IMAGES_PER_SOURCE} times", INK, font)
    pen.text((LEFT, 46), f"“{answer.caption.text}”", GRAY, small)
    pen.text((width - 310, TOP - 22), "distance: mean of the four", GRAY, small)
    sheet.paste(query.resize((200, 200), Image.Resampling.BICUBIC), (20, TOP))
    generated_images = {result.source: result.generated_images for result in answer.resyntheses}
    for at, entry in enumerate(rows):
        top = TOP + at * (TILE + 34)
        for k, generated_image in enumerate(generated_images[entry.source]):
            left = LEFT + k * (TILE + GAP)
            sheet.paste(generated_image.image.resize((TILE, TILE), Image.Resampling.BICUBIC), (left, top))
            pen.text((left, top + TILE + 3), f"{entry.distances[k]:.3f}", GRAY, small)
        color = BEST if at == 0 else INK
        pen.text((width - 310, top + 24), f"{at + 1}. {entry.source}", color, font)
        pen.text((width - 310, top + 48), f"{entry.distance:.3f}", color, font)
    return sheet


if __name__ == "__main__":
    sample = load(REPOSITORY / "zoo" / "samples" / "sample.png").image
    draw(sample, run(sample)).quantize(256).save(TARGET, optimize=True)
    print(f"written: {TARGET}")
