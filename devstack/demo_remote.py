"""`make demo-remote`: one job with local demo models, stub vendors, and uploaded reference images.

No vendor is called. It shows how one job uses all three: what is generated where, how a vendor's refusal or empty
account affects the rest, and what is spent. The images of the stubs, and the uploaded ones, are colored blocks.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console
from rich.markup import escape

from attribution.catalog import Source, load_catalog
from attribution.resynthesis.remote.keys import setting_of
from attribution.resynthesis.remote.vendors import vendor_named
from devstack.console import Progress, show_result, show_spend
from devstack.demo import JOB_PATIENCE, wait_until_ready
from devstack.service_client import Job, RequestRefused, ServiceClient
from devstack.stack import Stack, stack
from devstack.state import REPOSITORY, StateDirectory, remove
from stub_vendors import Stub, serve
from stub_vendors.vendor_stub import generate

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


IMAGES_PER_SOURCE = 2
BUDGET_USD = 2.0
SIDE = 128
_ROUNDING = 1e-6
NOTICE = """\
No vendor is called here. The sources named stub-… are the shipped vendor files with the address of a local stub. Stubs
speak the vendors' APIs and generate colored blocks; some refuse. Prices are the catalog's; nothing is paid."""


def demo_remote(state_dir: Path, image: Path) -> int:
    """Returns the exit code: 0 only for a job that succeeded, with no more billed than was recorded.

    It uses a new state directory each time: unfinished jobs of an earlier run would continue to call vendors.
    """
    state_dir = state_dir / STATE_NAME
    with StateDirectory(state_dir):
        remove(state_dir)
    console = Console(soft_wrap=True)
    console.print(NOTICE, style="bold", highlight=False)
    console.print(f"Starting stubs, Postgres, Valkey, the API and the workers (logs: {escape(str(state_dir / 'log'))})")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="whodrew-catalog-") as name, serve() as stub:
        catalog = write_catalog(Path(name), stub)
        with stack(state_dir, environment=catalog.environment) as running:
            key = wait_until_ready(running, "demo-remote", console, began)
            try:
                job = _attribute(running, key, image, console)
            except RequestRefused as refusal:
                console.print(f"[red]The service refused:[/] {escape(str(refusal))}")
                return 1
        return shown(console, job, catalog, stub.billed())


def reference_images(caption: str) -> list[bytes]:
    """Images as a caller would make them elsewhere from the caption; here blocks that no stub generates."""
    return [generate(REFERENCE_SOURCE, caption, number, SIDE) for number in range(IMAGES_PER_SOURCE)]


def _attribute(running: Stack, key: str, image: Path, console: Console) -> Job:
    options = {
        "images_per_source": str(IMAGES_PER_SOURCE),
        "budget_usd": str(BUDGET_USD),
        "await_references": REFERENCE_SOURCE,
    }
    with ServiceClient(running.base_url, key) as client, Progress(console) as progress:
        location, job = client.submit(image, options)
        console.print(f"POST /attribute with {escape(str(image))}: 202, job {job['id']}")
        for job in client.follow(location, JOB_PATIENCE):
            progress.job(job)
            for path in awaited(job):
                images = reference_images(job["caption"])
                client.upload_references(path, images)
                console.print(f"POST {path} with {len(images)} reference images")
    return job


def awaited(job: Job) -> list[str]:
    """Paths for uploads of the references that the job awaits; none before there is a caption."""
    if job["stage"] != "resynthesizing":
        return []
    return [source["references"] for source in job["sources"] if source["state"] == "awaiting_reference"]


def shown(console: Console, job: Job, catalog: StubCatalog, billed: Mapping[str, int]) -> int:
    """Prints the end of a job, and the stubs' bill beside the spend that the service recorded."""
    show_result(console, job, {row["source"]: generated_by(row) for row in job["sources"]})
    show_spend(console, job)
    usd, recorded = catalog.cost(billed), job["spend"]["usd"]
    console.print(f"billed    {usd:.3f} USD for {sum(billed.values())} images, by what the stubs counted")
    return 0 if job["status"] == "succeeded" and usd <= recorded + _ROUNDING else 1


def generated_by(source: Job) -> str:
    """Who made a source's images, for the ranking."""
    if source["origin"] == "reference":
        return "uploaded by the caller"
    return "this host" if source["platform"] == "local" else f"stub of {source['platform']}"
