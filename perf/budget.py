"""`make bench-budget`: vendors never bill more than is recorded, and jobs never spend more than their budget.

Two hundred jobs with tight budgets run at vendors that fail, refuse, limit rates and send invalid responses at random,
while workers are killed. Amounts are compared continuously and at the end: settled calls were billed, and the
difference to the recorded ones are calls that a killed worker left open. A first run without kills must balance.
"""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import psycopg
import typer

from devstack.stack import Stack
from perf.chaos import Pause, Seed, background, seed_or_random
from perf.job_client import connect, solid_image, submit, wait
from perf.report import Requirement, finish
from perf.vendors import StubVendors, VendorSource, vendor_service

WORKERS = {
    "worker-light": ("light",),
    "worker-models": ("caption", "embed"),
    "remote-1": ("remote",),
    "remote-2": ("remote",),
}
CENTS = 4  # an image, at every vendor
VENDORS = tuple(
    VendorSource(vendor, group, latency, concurrency=8, price=CENTS / 100, timeout=10.0)
    for vendor, group, latency in (
        ("openai", "a", 0.4),
        ("openai", "b", 0.8),
        ("stability", "a", 0.3),
        ("stability", "b", 0.9),
        ("bfl", "a", 0.5),
        ("bfl", "b", 1.2),
    )
)
CHANCES = {
    "server_error": 0.08,
    "refused_prompt": 0.04,
    "refused_output": 0.04,
    "rate_limited": 0.04,
    "html": 0.02,
    "broken": 0.03,
}
BUDGETS = ("0", "0.12", "0.30", "0.44", "5")
SETTINGS = {"JOB__LEASE": "3", "REMOTE__CIRCUIT_OPEN_FOR": "2"}
_RECORDED = """
    SELECT source, round(100 * sum(coalesce(settled_usd, reserved_usd))), round(100 * coalesce(sum(settled_usd), 0)),
           count(*) FILTER (WHERE settled_at IS NULL)
    FROM source_calls GROUP BY source
"""
_OVER = """
    SELECT count(*) FROM jobs j WHERE spent_usd > budget_usd OR spent_usd <> (
        SELECT coalesce(sum(coalesce(settled_usd, reserved_usd)), 0) FROM source_calls WHERE job_id = j.id
    )
"""


@dataclass(slots=True)
class LedgerCheck:
    """Findings of all comparisons."""

    comparisons: int = 0
    more_billed: int = 0  # times that a vendor had billed more than was recorded of it
    over: int = 0  # times that a job had spent more than its budget, or its sum was not that of its calls
    kills: list[str] = field(default_factory=list)


def main(jobs: int = 200, pause: Pause = 4.0, seed: Seed = None) -> None:
    """Runs undisturbed, then with kills."""
    seed = seed_or_random(seed)
    calm = run(jobs, seed, None)
    disturbed = run(jobs, seed, pause)
    requirements = [
        Requirement("undisturbed: cents recorded and not billed", calm["recorded"] - calm["billed"], 0, 0),
        Requirement("undisturbed: calls without a known end", calm["unsettled"], 0),
        Requirement("killed: cents billed and not recorded", max(0, disturbed["billed"] - disturbed["recorded"]), 0),
        Requirement("killed: cents settled and not billed", max(0, disturbed["settled"] - disturbed["billed"]), 0),
        Requirement(
            "killed: cents recorded and not billed, beyond calls without a known end",
            disturbed["recorded"] - disturbed["billed"] - CENTS * disturbed["unsettled"],
            0,
        ),
        Requirement(
            "comparisons at which a vendor had billed more than was recorded", calm["wrong"] + disturbed["wrong"], 0
        ),
        Requirement("comparisons with a job beyond its budget", calm["over"] + disturbed["over"], 0),
        Requirement("jobs that did not end with an answer", calm["unended"] + disturbed["unended"], 0),
        Requirement("kills", disturbed["kills"], at_least=3),
    ]
    figures = {"jobs": jobs, "seed": seed, "undisturbed": calm, "killed": disturbed}
    finish("budget", figures, requirements)


def run(jobs: int, seed: int, pause: float | None) -> dict[str, Any]:
    """All jobs, with kills if there is a pause between them; the figures, in cents."""
    dice = random.Random(seed)
    check = LedgerCheck()
    started = time.monotonic()
    with vendor_service(VENDORS, WORKERS, SETTINGS) as (service, vendors), connect(service, timeout=30) as http:
        for each in VENDORS:
            vendors.behave(each, chances=chances_of(each), chance_seed=seed, retry_after=0.3)
        with comparing(service, vendors, check), killing(service, pause, dice, check):
            locations = [
                submit(http, solid_image(), images_per_source="2", prompt=f"image {k}", budget_usd=dice.choice(BUDGETS))
                for k in range(jobs)
            ]
            ended = [wait(http, location, every=0.2, patience=500) for location in locations]
        # A worker that was just killed may have left a call that a vendor has not received yet.
        time.sleep(2)
        compare(service, vendors, check)
        recorded, settled, unsettled = totals(service)
        billed = sum(CENTS * seen["billed"] for seen in vendors.counts().values())
    found = {
        "recorded": recorded,
        "settled": settled,
        "billed": billed,
        "unsettled": unsettled,
        "comparisons": check.comparisons,
        "wrong": check.more_billed,
        "over": check.over,
        "kills": len(check.kills),
        "unended": sum(job["status"] != "succeeded" for job in ended),
        "done": sum(row["state"] == "done" for job in ended for row in job["sources"]),
        "quota": sum(row["state"] == "quota" for job in ended for row in job["sources"]),
        "seconds": round(time.monotonic() - started),
    }
    print(found, flush=True)
    return found


def chances_of(source: VendorSource) -> dict[str, float]:
    """No rate limits for Stability: it requires a pause of a minute after each 429."""
    return {name: chance for name, chance in CHANCES.items() if (source.vendor, name) != ("stability", "rate_limited")}


def totals(service: Stack) -> tuple[int, int, int]:
    """Cents recorded, cents settled, and calls that are not."""
    with psycopg.connect(service.servers.database_url) as connection:
        rows = connection.execute(_RECORDED).fetchall()
    return sum(int(row[1]) for row in rows), sum(int(row[2]) for row in rows), sum(row[3] for row in rows)


def compare(service: Stack, vendors: StubVendors, check: LedgerCheck) -> None:
    """Reads the vendors' counts first, then ours: whatever is billed in between was recorded before."""
    billed = {source: CENTS * seen["billed"] for source, seen in vendors.counts().items()}
    with psycopg.connect(service.servers.database_url) as connection:
        recorded = {row[0]: int(row[1]) for row in connection.execute(_RECORDED)}
        row = connection.execute(_OVER).fetchone()
    assert row is not None
    check.comparisons += 1
    check.more_billed += sum(cents > recorded.get(source, 0) for source, cents in billed.items())
    check.over += row[0]


@contextmanager
def comparing(service: Stack, vendors: StubVendors, check: LedgerCheck) -> Iterator[None]:
    """Compares twice a second."""
    stop = Event()

    def repeat() -> None:
        while not stop.wait(0.5):
            compare(service, vendors, check)

    with background(repeat, stop):
        yield


@contextmanager
def killing(service: Stack, pause: float | None, dice: random.Random, check: LedgerCheck) -> Iterator[None]:
    """Kills the workers that call vendors, in random order."""
    stop = Event()

    def kill() -> None:
        while pause is not None and not stop.wait(pause + dice.uniform(0, 2)):
            name = dice.choice(["remote-1", "remote-2"])
            pid = service.supervisor.pid(name)
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                check.kills.append(name)

    with background(kill, stop):
        yield


if __name__ == "__main__":
    typer.run(main)
