"""Renders avatars: plans go to node (DiceBear renders SVG), SVGs go through resvg, 64×64 RGB arrays come out."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import resvg_py
from numpy.typing import NDArray
from PIL import Image

from zoo.captions import Face

SIZE = 64
HERE = Path(__file__).parent
# Styles the models learn from. Captions stay true in every style, so toonHead (no glasses) and miniavs (no beards) are
# not used for captions that they cannot show.
STYLES = ("avataaars", "micah", "personas", "openPeeps", "pixelArt", "toonHead", "miniavs")
STRANGERS = ("adventurer", "bigSmile")


@dataclass(frozen=True, slots=True)
class Plan:
    """One avatar to render: `seed` decides what the caption leaves open (which haircut, which mouth)."""

    style: str
    face: Face
    seed: str


def can_render(style: str, face: Face) -> bool:
    """Whether the style has parts for all attributes of the caption."""
    return not (style == "toonHead" and face.glasses) and not (style == "miniavs" and face.beard)


def install_node_packages() -> None:
    """Fetches DiceBear once, at the exact versions in package.json."""
    if not (HERE / "node_modules" / "@dicebear").exists():
        command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
        subprocess.run(command, cwd=HERE, check=True)


def rasterize(svg: str) -> NDArray[np.uint8]:
    """An SVG as (64, 64, 3) pixels."""
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=SIZE, height=SIZE))
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def render(plans: Sequence[Plan]) -> NDArray[np.uint8]:
    """Renders the plans in order: (n, 64, 64, 3)."""
    install_node_packages()
    lines = "\n".join(json.dumps(asdict(plan)) for plan in plans)
    node = subprocess.run(["node", "avatars.mjs"], cwd=HERE, input=lines, capture_output=True, text=True, check=True)
    svgs = [json.loads(line) for line in node.stdout.splitlines()]
    if len(svgs) != len(plans):
        raise RuntimeError(f"expected {len(plans)} avatars, got {len(svgs)}: {node.stderr[-500:]}")
    with ThreadPoolExecutor(2) as pool:
        return np.stack(list(pool.map(rasterize, svgs)))
