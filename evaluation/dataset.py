"""A finished dataset on disk: images in the published layout, `items.jsonl` with one line each, `manifest.json`.

The manifest is written last: a directory without one is not finished.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from attribution.errors import ConfigurationError
from evaluation.characters import Character, Side
from evaluation.store import digest, write

MANIFEST = "manifest.json"
ITEMS = "items.jsonl"
_NOISE = 2**32  # torch's generator on the CPU reads the low half of a seed only: what must differ is that half


@dataclass(frozen=True, slots=True)
class Item:
    """One image: an original by `of`, or the `k`-th resynthesis of it by `source`. `caption` is the original's."""

    file: str
    sha256: str
    character: int
    side: Side
    of: str
    source: str | None = None
    k: int | None = None
    seed: int | None = None
    caption: str | None = None


@dataclass(frozen=True)
class Dataset:
    """A manifest and all images."""

    directory: Path
    manifest: Mapping[str, Any]
    items: tuple[Item, ...]

    @classmethod
    def open(cls, directory: Path) -> "Dataset":
        """Reads a finished dataset. Raises ConfigurationError where there is none."""
        try:
            manifest = json.loads((directory / MANIFEST).read_text())
            lines = (directory / ITEMS).read_text().splitlines()
            items = tuple(_item(json.loads(line)) for line in lines)
        except (OSError, ValueError, TypeError) as error:
            raise ConfigurationError(
                f"{directory} is not a finished dataset; make or import it first. {error}"
            ) from error
        if manifest.get("schema") != 1:
            raise ConfigurationError(f"{directory / MANIFEST}: schema must be 1, the only one this version reads.")
        return cls(directory, manifest, items)

    @classmethod
    def save(cls, directory: Path, manifest: Mapping[str, Any], items: Sequence[Item]) -> "Dataset":
        """Writes both files, the manifest last, with how many images there are."""
        generated = sum(item.source is not None for item in items)
        whole = {"schema": 1, **manifest, "originals": len(items) - generated, "resyntheses": generated}
        lines = "".join(json.dumps({k: v for k, v in asdict(item).items() if v is not None}) + "\n" for item in items)
        write(directory / ITEMS, lines.encode())
        write(directory / MANIFEST, (json.dumps(whole, indent=2) + "\n").encode())
        return cls(directory, whole, tuple(items))

    @property
    def sources(self) -> tuple[str, ...]:
        """All sources in catalog order."""
        return tuple(source["id"] for source in self.manifest["sources"])

    @property
    def revisions(self) -> dict[str, str]:
        """The weights of each source."""
        return {source["id"]: source["revision"] for source in self.manifest["sources"]}

    @property
    def characters(self) -> tuple[Character, ...]:
        """All characters by number."""
        return tuple(
            Character(entry["number"], entry["name"], entry["description"]) for entry in self.manifest["characters"]
        )

    @property
    def images_per_source(self) -> int:
        """γ: resyntheses of one original by one source."""
        return int(self.manifest["images_per_source"])

    def problems(self) -> Iterator[str]:
        """Everything that would make a result on this dataset invalid, as sentences; none if it is sound."""
        yield from self._sides()
        yield from self._seeds()
        for item in self.items:
            path = self.directory / item.file
            if not path.is_file():
                yield f"{item.file} is missing."
            elif digest(path) != item.sha256:
                yield f"{item.file} is not the image that was generated."

    def _sides(self) -> Iterator[str]:
        """Two numbers with one description are one character."""
        description = {character.number: character.description for character in self.characters}
        found: dict[str, set[Side]] = defaultdict(set)
        for item in self.items:
            if item.character not in description:
                yield f"{item.file} shows character {item.character}, which the manifest does not list."
                continue
            found[description[item.character]].add(item.side)
        for described, there in found.items():
            if len(there) > 1:
                yield f"{described!r} is on more than one side: {', '.join(sorted(there))}."

    def _seeds(self) -> Iterator[str]:
        originals = {item.seed % _NOISE for item in self.items if item.source is None and item.seed is not None}
        generated_images = {
            item.seed % _NOISE for item in self.items if item.source is not None and item.seed is not None
        }
        shared = originals & generated_images
        if shared:
            yield f"{len(shared)} seeds are shared by an original and a resynthesis; make it with another --seed."


def _item(entry: dict[str, Any]) -> Item:
    return Item(**entry | {"side": Side(entry["side"])})
