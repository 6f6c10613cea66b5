"""`make demo`: start everything, send one image through it over HTTP, show the ranking, stop everything."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from devstack.cli import SAMPLE
from devstack.console import Progress, show_result
from devstack.service_client import Job, RequestRefused, ServiceClient
from devstack.stack import Stack, stack
from devstack.state import REPOSITORY

JOB_PATIENCE = 600.0
KEY_LIFE = ("--expires", "7d")


def demo(state_dir: Path, image: Path) -> int:
    """Returns the exit code: 0 only for a job that succeeded."""
    console = Console(soft_wrap=True)
    began = time.monotonic()
    console.print(f"Starting Postgres, Valkey, the API and the workers (logs: {escape(str(state_dir / 'log'))})")
    with stack(state_dir) as running:
        key = wait_until_ready(running, "demo", console, began)
        try:
            job = _attribute(running, key, image, console)
        except RequestRefused as refusal:
            console.print(f"[red]The service refused the job:[/] {escape(str(refusal))}")
            return 1
        show_result(console, job)
    console.print(
        f"All stopped after {time.monotonic() - began:.1f} s. To do the same by hand: [bold]make serve[/], then"
    )
    print_curl(console, running.base_url, key, job["id"])
    return 0 if job["status"] == "succeeded" else 1


def wait_until_ready(running: Stack, name: str, console: Console, began: float) -> str:
    """Creates a key of that name and waits until the service can take jobs. Returns the key."""
    key = running.create_key(name, *KEY_LIFE)
    with Progress(console) as progress:
        running.wait_until_warm(lambda readiness: progress.message(waiting(readiness)))
    console.print(f"Ready after {time.monotonic() - began:.1f} s at {running.base_url}")
    return key


def waiting(readiness: dict[str, Any]) -> str:
    """One line on what the service is waiting for."""
    checks: dict[str, dict[str, Any]] = readiness.get("checks", {})
    down = [name for name, check in checks.items() if check["status"] != "ok" and not check.get("warm")]
    cold = [role for check in checks.values() for role, count in check.get("warm", {}).items() if not count]
    missing = [*down, *(f"the {role} worker" for role in cold)]
    return "waiting for " + (", ".join(missing) or "the API")


def print_curl(console: Console, base_url: str, key: str, job: str = "ID") -> None:
    """The commands that do what the demo did. The key is shown only here; it is valid for a week."""
    sample = SAMPLE.relative_to(REPOSITORY)
    for command in (
        f"export KEY={key}",
        f'curl -i -H "Authorization: Bearer $KEY" -F image=@{sample} {base_url}/attribute',
        f'curl -H "Authorization: Bearer $KEY" {base_url}/attribute/{job}',
        f'curl -H "Authorization: Bearer $KEY" {base_url}/sources',
    ):
        console.print(f"    {command}", highlight=False)


def _attribute(running: Stack, key: str, image: Path, console: Console) -> Job:
    with ServiceClient(running.base_url, key) as client, Progress(console) as progress:
        location, job = client.submit(image)
        console.print(f"POST /attribute with {escape(str(image))}: 202, job {job['id']}")
        for job in client.follow(location, JOB_PATIENCE):
            progress.job(job)
    return job
