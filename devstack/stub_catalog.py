"""The catalog of `make demo-remote`: demo models, vendor files that point to local stubs, and a reference source."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from attribution.catalog import Source, load_catalog
from attribution.resynthesis.remote.keys import setting_of
from attribution.resynthesis.remote.vendors import vendor_named
from devstack.state import REPOSITORY
from stub_vendors import Stub

SOURCES = REPOSITORY / "sources"
# The shipped file of each vendor, and how its stub behaves.
BEHAVIORS: Mapping[str, Mapping[str, object]] = {
    "flux-2-pro": {"latency": 1.0},
    "sd-3-5-large-stability": {"latency": 0.5},
    "flux-1-dev-replicate": {"latency": 1.5},
    "freepik-mystic": {"latency": 2.0},
    "gpt-image-2": {"scenario": "refused_prompt"},
    "flux-1-dev-fal": {"scenario": "refused_output"},
    "flux-2-dev-together": {"scenario": "quota"},
    "sdxl-huggingface": {"scenario": "server_error"},
}
STATE_NAME = "demo-remote"  # a directory within the state of `make demo`
REFERENCE_SOURCE = "your-images"
UNKNOWN_PRICE_USD = 0.25
_REFERENCE_SOURCE = """\
schema = 1
id = "{id}"
name = "Reference images that the caller uploads"
enabled = false
family = "unknown"
platform = "elsewhere"
model = "unknown"
revision = "unknown"
license = "none"
adapter = "none"

[lifecycle]
state = "no_api"
note = "No program can call it: its images are uploaded."
"""


@dataclass(frozen=True, slots=True)
class StubCatalog:
    """A directory that is a catalog, and the settings that make the service use it."""

    directory: Path
    environment: Mapping[str, str]
    prices: Mapping[str, float]  # of one image, by vendor

    def cost(self, images: Mapping[str, int]) -> float:
        """What so many images of each vendor cost."""
        return sum(self.prices.get(vendor, 0.0) * number for vendor, number in images.items())


def stub_of(source: str) -> str:
    """The id of a source's stub: its images must not be taken for the vendor's."""
    return f"stub-{source}"


def write_catalog(directory: Path, stub: Stub) -> StubCatalog:
    """Writes the catalog into a folder of an empty directory, and configures how the stubs behave."""
    (directory / "zoo").symlink_to(REPOSITORY / "zoo")  # the files name their weights from beside the catalog
    directory = directory / "sources"
    directory.mkdir()
    for file in SOURCES.glob("zoo-*.toml"):
        shutil.copy(file, directory)
    shipped = load_catalog([SOURCES])
    environment = {
        "CATALOG__DIRECTORIES": json.dumps([str(directory)]),
        "SPEND__UNKNOWN_PRICE_USD": str(UNKNOWN_PRICE_USD),
    }
    prices = {}
    for name, behavior in BEHAVIORS.items():
        source = shipped.get(name)
        stub.behave(source.adapter, **behavior)
        prices[source.adapter] = UNKNOWN_PRICE_USD if source.price_usd is None else source.price_usd
        environment[setting_of(_key(source))] = f"stub-key-of-{source.adapter}"
        (directory / f"{stub_of(name)}.toml").write_text(_at_stub(source, stub), encoding="utf-8")
    (directory / f"{REFERENCE_SOURCE}.toml").write_text(_REFERENCE_SOURCE.format(id=REFERENCE_SOURCE), encoding="utf-8")
    return StubCatalog(directory, environment, prices)


def _at_stub(source: Source, stub: Stub) -> str:
    """The file of a source with another name, address and key; the vendor's own key is never used."""
    path = httpx.URL(vendor_named(source.adapter).base_url or "").path.rstrip("/")
    changes = {
        f'\nid = "{source.id}"\n': f'\nid = "{stub_of(source.id)}"\n',
        f'\nname = "{source.name}"\n': f'\nname = "Stub of {source.name}"\n',
        "\nenabled = false\n": "\nenabled = true\n",
        "\n[parameters]\n": f'\n[parameters]\nbase_url = "{stub.base_url(source.adapter, path)}"\n'
        f'key = "{_key(source)}"\n',
    }
    text = source.file.read_text(encoding="utf-8")
    for old, new in changes.items():
        if text.count(old) != 1:
            raise ValueError(f"{source.file} does not have {old.strip()!r} once")
        text = text.replace(old, new)
    return text


def _key(source: Source) -> str:
    return f"stub_{source.adapter}"
