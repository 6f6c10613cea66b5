"""Figures are PNG, the same bytes each time, and distinguishable without color."""

import base64
import io

import matplotlib.colors
import numpy as np
import pytest
from PIL import Image

from evaluation.report.figures import charts, sheet
from evaluation.report.figures.style import BARS, LINES, Plot, render


def _tile() -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)).save(buffer, "WEBP")
    return base64.b64encode(buffer.getvalue()).decode()


POINTS = [charts.Point(n, 0.1 * n, [0.05 * n, 0.15 * n]) for n in (1, 2, 5)]
PANEL = charts.CurvePanel(
    "10 classes", "shots", {"one": POINTS, "two": POINTS[:2]}, [1, 2, 5], charts.Flat("flat", 0.3), 0.1, [("one", 5)]
)
VALUES = [charts.Value(0.5, [0.4, 0.7]), None, charts.Value(0.6, None)]
FOREST = charts.ForestPanel("", "AUROC", ["a", "b", "c"], {"x": VALUES, "y": VALUES}, 0.5, (0.3, 0.5))
GENERATED: dict[str, Plot] = {
    "curves": lambda: charts.curves([PANEL, PANEL]),
    "dots": lambda: charts.dots([FOREST]),
    "bars": lambda: charts.bars([FOREST]),
    "matrix": lambda: charts.matrix(["a", "b"], [[9, 1], [0, 10]], [[0.8, 1], [1, 1]]),
    "sheet": lambda: sheet.sheet([sheet.Tile(_tile(), "query"), sheet.Tile(_tile(), "1. unet\n0.03", True)], 8),
}


@pytest.mark.parametrize("name", GENERATED)
def test_a_figure_is_the_same_bytes_each_time(name: str) -> None:
    """A page wide, with ink on it, and without a date or a program in its metadata."""
    first, second = render(GENERATED[name]), render(GENERATED[name])
    assert first == second
    with Image.open(io.BytesIO(first)) as image:
        assert image.format == "PNG"
        assert image.width == 1080
        assert not image.info.keys() - {"dpi", "transparency"}
        gray = np.asarray(image.convert("L"))
    assert (gray < 100).mean() > 0.001
    assert (gray > 250).mean() > 0.3


def test_no_color_is_needed() -> None:
    """Each line has a marker and a dash of its own, dark enough on white; each bar a hatch or another gray."""
    assert len({line["marker"] for line in LINES}) == len(LINES)
    assert len({str(line["linestyle"]) for line in LINES}) == len(LINES)
    for line in LINES:
        assert np.dot(matplotlib.colors.to_rgb(line["color"]), [0.299, 0.587, 0.114]) < 0.55
    assert len({(bar["hatch"], bar["facecolor"]) for bar in BARS}) == len(BARS)


def test_an_interval_that_misses_its_value_is_no_error() -> None:
    """Rounding may put a bound beyond the value: the whisker has no length then."""
    odd = charts.ForestPanel("", "", ["a"], {"": [charts.Value(0.5, [0.5 + 1e-12, 0.6])]})
    assert render(lambda: charts.dots([odd])).startswith(b"\x89PNG")
