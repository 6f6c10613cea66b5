"""Freezes the trained models: hashes of every weight file, and the catalog entries that pin their revisions.

`python -m zoo.freeze` writes both, `python -m zoo.freeze --check` compares. Nothing is evaluated before it is frozen.
"""

import json
import os
from dataclasses import dataclass, field
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Annotated

import typer
from safetensors.numpy import load_file, save

from attribution.ports import ModelRef
from attribution.resynthesis.diffusers import DiffusersGenerator, DiffusersSettings
from attribution.weights import digest_of_directory
from zoo.paths import MODELS, SOURCES

SUMS = MODELS / "SHA256SUMS"
LIMIT = 80_000_000  # bytes of weights that a clone should carry at most

Call = dict[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class Entry:
    """A catalog entry without its revision.

    `enabled` sources take part in every job: each further one adds to the cost of every query. The thresholds in
    calibration.json are valid for exactly these sources.
    """

    key: str
    name: str
    family: str
    steps: int
    guidance: float
    note: str
    core: bool = True
    enabled: bool = False
    alone: bool = False  # its pipeline takes one prompt at a time
    extra: Call = field(default_factory=dict)

    @property
    def call(self) -> Call:
        """How its pipeline is called."""
        return {"steps": self.steps, "guidance": self.guidance, "width": 64, "height": 64, **self.extra}


SHORT: Call = {"max_sequence_length": 24}
UNBINNED: Call = {"use_resolution_binning": False}
UNCLEANED: Call = {"clean_caption": False}  # cleaning needs packages that nothing else does

ENTRIES = (
    Entry("unet", "Zoo UNet", "zoo-unet", 20, 3.0, "UNet with noise prediction, DDIM.", enabled=True),
    Entry("lcm", "Zoo LCM", "zoo-unet", 6, 3.0, "The UNet distilled to six steps: a close relative.", enabled=True),
    Entry(
        "dit", "Zoo DiT", "zoo-dit", 20, 2.0, "Single-stream transformer; its guidance counts from 0, not from 1.",
        enabled=True,
    ),
    Entry(
        "mmdit", "Zoo MMDiT", "zoo-mmdit", 12, 3.0, "Two-stream transformer with a T5 encoder.", enabled=True,
        extra=SHORT,
    ),
    Entry("vunet", "Zoo V-UNet", "zoo-unet", 12, 3.0, "The UNet taught velocity prediction on other avatars."),
    Entry(
        "pixart", "Zoo PixArt", "zoo-pixart", 12, 3.0, "Cross-attention transformer, predicts velocity, DPM-Solver++.",
        extra=SHORT | UNBINNED | UNCLEANED,
    ),
    Entry(
        "sd3", "Zoo SD3", "zoo-sd3", 12, 3.0, "Two streams throughout, flow matching, the second autoencoder.",
        extra=SHORT,
    ),
    Entry(
        "flux", "Zoo Flux", "zoo-flux", 10, 1.0, "Two streams, then one, rotary positions, flow matching.",
        extra=SHORT | {"true_cfg_scale": 2.5, "negative_prompt": ""},
    ),
    Entry("amused", "Zoo aMUSEd", "zoo-amused", 12, 2.0, "Unmasks tokens of the third autoencoder."),
    Entry(
        "pixel", "Zoo Pixel", "zoo-pixel", 12, 3.0, "Transformer on pixels, flow matching, no autoencoder.",
        alone=True, extra=UNBINNED,
    ),
    Entry("unet-tuned", "Zoo UNet tuned", "zoo-unet", 20, 3.0, "The UNet fine-tuned on other avatars.", core=False),
    Entry(
        "flux-tuned", "Zoo Flux tuned", "zoo-flux", 10, 1.0, "Flux fine-tuned on other avatars.",
        core=False, extra=SHORT | {"true_cfg_scale": 2.5, "negative_prompt": ""},
    ),
    Entry(
        "pixart-lcm", "Zoo PixArt LCM", "zoo-pixart", 4, 1.0, "PixArt distilled to four steps.", core=False,
        extra=SHORT | UNBINNED | UNCLEANED,
    ),
    Entry(
        "mmdit-tuned", "Zoo MMDiT tuned", "zoo-mmdit", 12, 3.0, "The MMDiT fine-tuned on other avatars.", core=False,
        extra=SHORT,
    ),
)  # fmt: skip
KEYS = [entry.key for entry in ENTRIES]


def key_named(text: str) -> str:
    """The key, as an argument of a command line. Raises BadParameter for one that no entry has."""
    if text not in KEYS:
        raise typer.BadParameter(f"there are {', '.join(KEYS)}")
    return text


Keys = Annotated[list[str] | None, typer.Argument(parser=key_named, metavar="KEY", help="sources; default: all")]


def generator(key: str) -> DiffusersGenerator:
    """The source, loaded by the service's own adapter as by its catalog entry."""
    (entry,) = (entry for entry in ENTRIES if entry.key == key)
    folder = MODELS / key
    ref = ModelRef(f"zoo/models/{key}", digest_of_directory(folder))
    return DiffusersGenerator.load(
        f"zoo-{key}", ref, DiffusersSettings(call=entry.call, batch_size=1 if entry.alone else 4), folder
    )


def share() -> None:
    """Replaces a weight file that an earlier source has too by a link to it: autoencoders, shared text encoders."""
    owners: dict[str, Path] = {}
    for entry in ENTRIES:
        for path in sorted((MODELS / entry.key).rglob("*.safetensors")):
            owner = owners.setdefault(_content_key(path), path.resolve())
            if owner != path.resolve():
                path.unlink()
                path.symlink_to(os.path.relpath(owner, path.parent))


def _content_key(path: Path) -> str:
    """What a weight file is for: an autoencoder's decoder counts alone, beside which lies a stub of random weights."""
    if path.parent.name != "vae":
        return _digest(path)
    decoder = {name: weight for name, weight in load_file(path).items() if not name.startswith("encoder.")}
    return sha256(save(decoder)).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def sums() -> str:
    """One line a weight file, as `sha256sum` writes and checks it."""
    lines = []
    for path in sorted(MODELS.rglob("*.safetensors")):
        lines.append(f"{_digest(path)}  {path.relative_to(MODELS).as_posix()}\n")
    return "".join(lines)


def source_toml(entry: Entry) -> str:
    """The catalog entry of one source."""
    revision = digest_of_directory(MODELS / entry.key)
    # JSON's strings, numbers and booleans are TOML's too.
    parameters = "\n".join(f"{word} = {json.dumps(value)}" for word, value in entry.call.items())
    return f"""# {entry.note} Trained and described in zoo/models/{entry.key}/README.md.
schema = 1
id = "zoo-{entry.key}"
name = "{entry.name}"
enabled = {str(entry.enabled).lower()}
on_request = {str(not entry.enabled).lower()}
family = "{entry.family}"
platform = "local"
model = "zoo/models/{entry.key}"
revision = "{revision}"
license = "Apache-2.0; trained on avatars under CC0 1.0, CC BY 4.0 and avataaars' own terms"
memory_mb = 200
adapter = "diffusers"

[lifecycle]
state = "live"

[parameters]
{parameters}
dtype = "float32"
{"one_at_a_time = true" + chr(10) if entry.alone else ""}
[limits]
timeout_seconds = 120
"""


def files() -> dict[Path, str]:
    """Every frozen file with what it must hold."""
    wanted = {SUMS: sums()}
    for entry in ENTRIES:
        wanted[SOURCES / f"zoo-{entry.key}.toml"] = source_toml(entry)
    return wanted


def main(check: Annotated[bool, typer.Option("--check", help="compare instead of writing")] = False) -> None:
    """Writes or compares."""
    if not check:
        share()
    size = sum(path.stat().st_size for path in MODELS.rglob("*.safetensors") if not path.is_symlink())
    print(f"{size / 1e6:.1f} MB of weights")
    wrong = [] if size <= LIMIT else [f"more than {LIMIT / 1e6:.0f} MB"]
    for path, content in files().items():
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
        elif not path.exists() or path.read_text() != content:
            wrong.append(f"{path.name} does not match the weights")
    print("\n".join(wrong) or "everything matches")
    raise typer.Exit(bool(wrong))


if __name__ == "__main__":
    typer.run(main)
