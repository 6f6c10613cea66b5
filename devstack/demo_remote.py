"""`make demo-remote`: one job with local demo models, stub vendors, and uploaded reference images.

No vendor is called. It shows how one job uses all three: what is generated where, how a vendor's refusal or empty
account affects the rest, and what is spent. The images of the stubs, and the uploaded ones, are colored blocks.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from devstack.console import Progress, show_result, show_spend
from devstack.demo import JOB_PATIENCE, wait_until_ready
from devstack.service_client import Job, RequestRefused, ServiceClient
from devstack.stack import Stack, stack
from devstack.state import StateDirectory, remove
from devstack.stub_catalog import REFERENCE_SOURCE, STATE_NAME, StubCatalog, write_catalog
from stub_vendors import serve
from stub_vendors.generated_image import generate

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
