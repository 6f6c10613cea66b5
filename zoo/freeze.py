"""Freezes the trained models: hashes of every weight file, and the catalogue entries that pin their revisions.

`python -m zoo.freeze` writes both, `python -m zoo.freeze --check` compares. Nothing is evaluated before it is frozen.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

from attribution.weights import digest_of_directory
from zoo.paths import MODELS, SOURCES

SUMS = MODELS / "SHA256SUMS"
LIMIT = 40_000_000  # bytes of weights that a clone should carry at most


@dataclass(frozen=True, slots=True)
class Entry:
    """What a catalogue entry says besides its revision."""

    key: str
    name: str
    family: str
    steps: int
    guidance: float
    note: str


ENTRIES = (
    Entry("unet", "Zoo UNet", "zoo-unet", 20, 3.0, "UNet with noise prediction, DDIM."),
    Entry("lcm", "Zoo LCM", "zoo-unet", 6, 3.0, "The UNet distilled to six steps: a close relative."),
    Entry("dit", "Zoo DiT", "zoo-dit", 20, 2.0, "Single-stream transformer; its guidance counts from 0, not from 1."),
    Entry("mmdit", "Zoo MMDiT", "zoo-mmdit", 12, 3.0, "Two-stream transformer with a T5 encoder."),
)


def sums() -> str:
    """One line a weight file, as `sha256sum` writes and checks it."""
    lines = []
    for path in sorted(MODELS.rglob("*.safetensors")):
        with path.open("rb") as file:
            lines.append(f"{file_digest(file, 'sha256').hexdigest()}  {path.relative_to(MODELS).as_posix()}\n")
    return "".join(lines)


def source_toml(entry: Entry) -> str:
    """The catalogue entry of one source."""
    revision = digest_of_directory(MODELS / entry.key)
    return f"""# {entry.note} Trained and described in zoo/models/{entry.key}/README.md.
schema = 1
id = "zoo-{entry.key}"
name = "{entry.name}"
enabled = true
family = "{entry.family}"
platform = "local"
model = "zoo/models/{entry.key}"
revision = "{revision}"
licence = "Apache-2.0; trained on avatars under CC0 1.0, CC BY 4.0 and avataaars' own terms"
memory_mb = 200
adapter = "diffusers"

[lifecycle]
state = "live"

[parameters]
steps = {entry.steps}
guidance = {entry.guidance}
width = 64
height = 64
dtype = "float32"

[limits]
timeout_seconds = 120
"""


def files() -> dict[Path, str]:
    """Every frozen file with what it must hold."""
    wanted = {SUMS: sums()}
    for entry in ENTRIES:
        wanted[SOURCES / f"zoo-{entry.key}.toml"] = source_toml(entry)
    return wanted


def main() -> int:
    """Writes or compares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    size = sum(path.stat().st_size for path in MODELS.rglob("*.safetensors"))
    print(f"{size / 1e6:.1f} MB of weights")
    wrong = [] if size <= LIMIT else [f"more than {LIMIT / 1e6:.0f} MB"]
    for path, content in files().items():
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
        elif not path.exists() or path.read_text() != content:
            wrong.append(f"{path.name} does not match the weights")
    print("\n".join(wrong) or "everything matches")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
