"""Draws docs/figures/ranking.png, how an image becomes a ranking: the method runs on the sample image for it.

`python docs/generate_ranking.py`, from anywhere, with the ml extra; it takes the shipped small models.
"""

import sys
from functools import partial
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from attribution.build import Placement, build_captioner, build_embedder, build_generator  # noqa: E402
from attribution.catalogue import load_catalogue  # noqa: E402
from attribution.distance import distance_named  # noqa: E402
from attribution.image import load  # noqa: E402
from attribution.method import attribute  # noqa: E402
from attribution.ports import Attribution  # noqa: E402
from attribution.resynthesise.pool import GeneratorPool  # noqa: E402

TARGET = REPOSITORY / "docs" / "figures" / "ranking.png"
SOURCES = ("zoo-dit", "zoo-lcm", "zoo-mmdit", "zoo-unet")
CANDIDATES = 4
TILE, GAP, TOP, LEFT = 96, 12, 92, 300
INK, GREY, BEST = "#1b1f24", "#57606a", "#0a7d33"


def run(query: Image.Image) -> Attribution:
    """The method as it is shipped, over four sources."""
    catalogue, placement = load_catalogue([REPOSITORY / "sources"]), Placement()
    pool = GeneratorPool(partial(build_generator, placement=placement), placement.memory_mb)
    models = REPOSITORY / "zoo" / "models"
    return attribute(
        query,
        captioner=build_captioner(f"blip:{models / 'captioner'}", placement),
        generators=[pool.handle(catalogue.get(source)) for source in SOURCES],
        embedder=build_embedder(f"open_clip:local-dir:{models / 'clip'}", placement),
        distance=distance_named("cosine"),
        candidates=CANDIDATES,
    )


def draw(query: Image.Image, answer: Attribution) -> Image.Image:
    """The query on the left; a row for each source, nearest first, with its drawings and their distances."""
    rows = answer.ranking.entries
    width, height = LEFT + CANDIDATES * (TILE + GAP) + 330, TOP + len(rows) * (TILE + 34) + 10
    sheet = Image.new("RGB", (width, height), "white")
    pen, font, small = ImageDraw.Draw(sheet), ImageFont.load_default(17), ImageFont.load_default(14)
    pen.text((20, 20), "the image", INK, font)
    pen.text((LEFT, 20), f"what each source draws from the caption, {CANDIDATES} times", INK, font)
    pen.text((LEFT, 46), f"“{answer.caption.text}”", GREY, small)
    pen.text((width - 310, TOP - 22), "distance: mean of the four", GREY, small)
    sheet.paste(query.resize((200, 200), Image.Resampling.BICUBIC), (20, TOP))
    drawings = {result.source: result.drawings for result in answer.resyntheses}
    for at, entry in enumerate(rows):
        top = TOP + at * (TILE + 34)
        for k, drawing in enumerate(drawings[entry.source]):
            left = LEFT + k * (TILE + GAP)
            sheet.paste(drawing.image.resize((TILE, TILE), Image.Resampling.BICUBIC), (left, top))
            pen.text((left, top + TILE + 3), f"{entry.distances[k]:.3f}", GREY, small)
        colour = BEST if at == 0 else INK
        pen.text((width - 310, top + 24), f"{at + 1}. {entry.source}", colour, font)
        pen.text((width - 310, top + 48), f"{entry.distance:.3f}", colour, font)
    return sheet


if __name__ == "__main__":
    sample = load(REPOSITORY / "zoo" / "samples" / "sample.png").image
    draw(sample, run(sample)).quantize(256).save(TARGET, optimize=True)
    print(f"written: {TARGET}")
