"""`make fuzz`: schemathesis over the whole OpenAPI with all its checks, against the running service.

Then every documented status must have been reached, here or by the API's tests, which run first.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import httpx
import typer
from prometheus_client.parser import text_string_to_metric_families

from perf.fakes import fake_service
from perf.job_client import authorization
from perf.report import Requirement, finish

UNLIMITED = "1000000000"
_CONFIG = Path(__file__).with_name("schemathesis.toml").resolve()
Reached = set[tuple[str, str, str]]  # method, path, status
# Answered before routing, so that counters have no route: tests/app/api/test_access.py requests every operation without
# a key, with a wrong one and too often.
BEFORE_ROUTING = {"401", "403", "429"}
# These use Postgres only to identify the caller.
NEED_NO_STORE = {"/sources", "/sources/{source_id}"}
# Tests that stop servers provoke 503; nothing provokes the 500 that is documented for bugs.
FOR_BUGS = {"500", "default"}


def main(examples: Annotated[int, typer.Option(help="per operation and phase")] = 40, seed: int = 7) -> None:
    """Fuzzes, compares and prints."""
    with TemporaryDirectory() as folder:
        tested = _run_tests(Path(folder) / "statuses.json")
        environment = {
            "ACCESS__REQUESTS_PER_MINUTE": UNLIMITED,
            "ACCESS__CONCURRENT_JOBS": UNLIMITED,
            "JOB__MAX_OPEN": UNLIMITED,
            "JOB__MAX_WAITING": UNLIMITED,
            "METRICS__OPEN": "true",
        }
        with fake_service({"one": "", "two": ""}, environment=environment) as service:
            document = httpx.get(f"{service.base_url}/openapi.json").json()
            failed = _schemathesis(service.base_url, authorization(service), examples, seed, Path(folder))
            fuzzed = _counted(httpx.get(f"{service.base_url}/metrics").text)
    documented: Reached = {
        (method.upper(), path, status)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        for status in operation["responses"]
        if status not in BEFORE_ROUTING | FOR_BUGS and not (status == "503" and path in NEED_NO_STORE)
    }
    unreached = sorted(documented - tested - fuzzed)
    for method, path, status in unreached:
        print(f"not reached by any test: {method} {path} → {status}")
    figures = {"documented": len(documented), "unreached": len(unreached), "schemathesis_failed": failed}
    requirements = [
        Requirement("schemathesis: exit code", failed, at_most=0),
        Requirement("documented statuses that no test reaches", len(unreached), at_most=0),
    ]
    finish("fuzz", figures, requirements)


def _run_tests(report: Path) -> Reached:
    """What the API's own tests reached."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/app/api"]
    subprocess.run(command, env=os.environ | {"WHODREW_STATUSES": str(report)}, check=True)  # noqa: S603 - our own words
    return {(method, path, status) for method, path, status in json.loads(report.read_text())}


def _counted(metrics: str) -> Reached:
    """The statuses that the service itself counted."""
    samples = (sample for family in text_string_to_metric_families(metrics) for sample in family.samples)
    return {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"])
        for sample in samples
        if sample.name == "http_requests_total"
    }


def _schemathesis(base_url: str, key: dict[str, str], examples: int, seed: int, folder: Path) -> int:
    """The exit code; findings are printed by schemathesis."""
    command = [
        *("schemathesis", "--config-file", str(_CONFIG), "run", f"{base_url}/openapi.json"),
        *(part for name, value in key.items() for part in ("--header", f"{name}: {value}")),
        *("--checks", "all", "--max-examples", str(examples), "--seed", str(seed)),
        *("--request-timeout", "30", "--continue-on-failure", "--no-color"),
    ]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return subprocess.run(command, env=os.environ | {"PATH": path}, cwd=folder).returncode  # noqa: S603 - our own words


if __name__ == "__main__":
    typer.run(main)
