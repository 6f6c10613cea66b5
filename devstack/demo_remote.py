"""`make demo-remote`: one job with the small generators of this machine, vendors that are stubs, and reference images.

No vendor is called. What it shows is how one job lives with all three: what is generated where, what a vendor's refusal or
empty account does to the rest, what is spent. Stubs generate colored blocks, and so are the generated images that are brought.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from devstack.console import Progress, show_result, show_spend
from devstack.demo import JOB_PATIENCE, KEY_LIFE, SAMPLE, waiting
from devstack.service_client import Job, RequestRefused, ServiceClient
from devstack.stack import Stack, stack
from devstack.state import StateDirectory, remove
from devstack.stubbed import PLACE, YOURS, Stubbed, write_catalog
from stub_vendors import serve
from stub_vendors.generated_image import generate

IMAGES_PER_SOURCE = 2
BUDGET_USD = 2.0
SIDE = 128
_ROUNDING = 1e-6
HONEST = """\
No vendor is called here. The sources named stub-… are the shipped files of vendors, led to stubs on this machine that
speak their APIs and generate colored blocks; some are told to refuse. Prices are the catalog's, and nobody is paid."""


def demo_remote(state_dir: Path, image: Path = SAMPLE) -> int:
    """Returns the exit code: 0 only for a job that succeeded, with no more billed than was recorded.

    It has a state of its own, and a new one each time: jobs that an earlier run left behind would go on ordering.
    """
    state_dir = state_dir / PLACE
    with StateDirectory(state_dir):
        remove(state_dir)
    console = Console(soft_wrap=True)
    console.print(HONEST, style="bold", highlight=False)
    console.print(f"Starting stubs, Postgres, Valkey, the API and the workers (logs: {escape(str(state_dir / 'log'))})")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="whodrew-catalogue-") as name, serve() as stub:
        catalog = write_catalog(Path(name), stub)
        with stack(state_dir, environment=catalog.environment) as running:
            key = running.create_key("demo-remote", *KEY_LIFE)
            with Progress(console) as progress:
                running.wait_until_warm(lambda readiness: progress.message(waiting(readiness)))
            console.print(f"Ready after {time.monotonic() - began:.1f} s at {running.base_url}")
            try:
                job = _attribute(running, key, image, console)
            except RequestRefused as refusal:
                console.print(f"[red]The service refused:[/] {escape(str(refusal))}")
                return 1
        return shown(console, job, catalog, stub.billed())


def brought(caption: str) -> list[bytes]:
    """What a person would have had another generator generate of the caption; here blocks that no stub generates."""
    return [generate(YOURS, caption, number, SIDE) for number in range(IMAGES_PER_SOURCE)]


def _attribute(running: Stack, key: str, image: Path, console: Console) -> Job:
    options = {"images_per_source": str(IMAGES_PER_SOURCE), "budget_usd": str(BUDGET_USD), "await_references": YOURS}
    with ServiceClient(running.base_url, key) as client, Progress(console) as progress:
        location, job = client.submit(image, options)
        console.print(f"POST /attribute with {escape(str(image))}: 202, job {job['id']}")
        for job in client.follow(location, JOB_PATIENCE):
            progress.job(job)
            for path in awaited(job):
                generated_images = brought(job["caption"])
                client.bring(path, generated_images)
                console.print(f"POST {path} with {len(generated_images)} generated images of the caption")
    return job


def awaited(job: Job) -> list[str]:
    """Where to bring generated images: of those that the job waits for, once there is a caption to draw."""
    if job["stage"] != "resynthesizing":
        return []
    return [source["references"] for source in job["sources"] if source["state"] == "awaiting_reference"]


def shown(console: Console, job: Job, catalog: Stubbed, billed: Mapping[str, int]) -> int:
    """Prints the end of a job, and what the stubs say that they billed beside what the service says that it spent."""
    show_result(console, job, {row["source"]: generated_by(row) for row in job["sources"]})
    show_spend(console, job)
    usd, recorded = catalog.cost(billed), job["spend"]["usd"]
    console.print(f"billed    {usd:.3f} USD for {sum(billed.values())} images, by what the stubs counted")
    return 0 if job["status"] == "succeeded" and usd <= recorded + _ROUNDING else 1


def generated_by(source: Job) -> str:
    """In the ranking's words."""
    if source["origin"] == "reference":
        return "brought by the caller"
    return "this machine" if source["platform"] == "local" else f"stub of {source['platform']}"
