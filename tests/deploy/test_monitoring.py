"""Dashboard, alerts and scrape configuration: what they name is what the service exports."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from prometheus_client import REGISTRY

import app.telemetry.metrics
from app.api.store_gauges import StoreGauges
from app.db.database import Database, connect
from app.queue.steps import Role
from app.settings import DatabaseSettings

REPOSITORY = Path(__file__).parents[2]
RUNBOOK = REPOSITORY / "docs" / "runbook.md"
SAMPLES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
# What a name in an expression can be besides a metric: PromQL's own words, and what Prometheus itself adds.
WORDS = {"sum", "min", "max", "rate", "increase", "by", "on", "or", "and", "absent", "histogram_quantile", "le", "up"}
SET_BY_PROMETHEUS = {"job", "instance"}


def load(name: str) -> Any:
    """A YAML file of docker/."""
    return yaml.safe_load((REPOSITORY / "docker" / name).read_text())


def dashboard() -> dict[str, Any]:
    """The dashboard."""
    document: dict[str, Any] = json.loads((REPOSITORY / "docker" / "grafana" / "dashboard.json").read_text())
    return document


def alerts() -> list[dict[str, Any]]:
    """The alerts of all groups."""
    return [rule for group in load("alerts.yml")["groups"] for rule in group["rules"]]


def expressions() -> dict[str, str]:
    """Every expression, by what it is for."""
    panels = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in dashboard()["panels"]
        for target in panel["targets"]
    }
    return panels | {rule["alert"]: rule["expr"] for rule in alerts()}


@pytest.fixture(scope="module")
def exported() -> dict[str, set[str]]:
    """The labels of every sample that the service exports, by the sample's name."""
    database = Database(connect(DatabaseSettings(url="postgresql://user@localhost/none")))
    pool = app.telemetry.metrics.PoolGauges(database.engine)
    gauges = [*StoreGauges(database, cast(Any, None), ()).describe(), *pool.describe()]
    found = {family.name: set(vars(family)["_labelnames"]) for family in gauges}
    counters = {
        collector._name: set(collector._labelnames)
        for collector in vars(app.telemetry.metrics).values()
        if is_metric(collector)
    }
    for family in REGISTRY.collect():
        for suffix in SAMPLES.get(family.type, ("",)):
            extra = {"le"} if suffix == "_bucket" else set()
            found[family.name + suffix] = counters.get(family.name, set()) | extra
    return found


def is_metric(thing: object) -> bool:
    """Whether a module's name is one of its metrics."""
    return hasattr(thing, "_labelnames") and hasattr(thing, "_name")


def names(expression: str) -> Iterable[str]:
    """The words of an expression outside of quotes, braces, ranges and groupings."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(?:by|on) ?\([^)]*\)', " ", expression)
    return re.findall(r"[a-z_][a-z0-9_]*", bare)


@pytest.mark.parametrize(("what", "expression"), expressions().items())
def test_expressions_name_what_is_exported(what: str, expression: str, exported: dict[str, set[str]]) -> None:
    """Every metric exists, and so does every label that it is grouped or chosen by."""
    metrics = set(names(expression)) - WORDS
    assert metrics <= exported.keys(), what
    asked = {word for group in re.findall(r"\bby \(([^)]*)\)", expression) for word in group.split(", ")}
    asked |= set(re.findall(r"([a-z_]+)(?:=~|!=|!~|=)\"", expression))
    known = SET_BY_PROMETHEUS.union(*(exported[metric] for metric in metrics))
    assert asked <= known, what


def test_every_metric_of_ours_is_watched(exported: dict[str, set[str]]) -> None:
    """Nothing is counted that neither the dashboard nor an alert shows; a histogram is shown by one of its parts."""
    shown = {re.sub("_(bucket|count|sum)$", "", name) for text in expressions().values() for name in names(text)}
    ours = {name for name in exported if not name.startswith(("python_", "process_"))}
    assert {re.sub("_(bucket|count|sum)$", "", name) for name in ours} <= shown


def test_every_alert_has_a_section_in_the_runbook() -> None:
    """Who is woken finds what to do."""
    headings = re.findall(r"^#+ (.+)$", RUNBOOK.read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for rule in alerts():
        path, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert REPOSITORY / path == RUNBOOK
        assert anchor in anchors, rule["alert"]
        assert rule["labels"]["severity"] in {"page", "ticket"}


def test_scraping_finds_the_services(compose: dict[str, Any]) -> None:
    """The names and ports that Prometheus looks for are those of the compose file."""
    jobs = {job["job_name"]: job["dns_sd_configs"][0] for job in load("prometheus.yml")["scrape_configs"]}
    workers = {
        name
        for name, service in compose["services"].items()
        if set(service.get("command", [])[3:]) & {role.value for role in Role}
    }
    assert set(jobs["workers"]["names"]) == workers
    assert jobs["api"]["names"] == ["api"]
    for name in workers:
        assert compose["services"][name]["environment"]["METRICS__PORT"] == jobs["workers"]["port"]


def test_monitoring_is_pinned_and_on_loopback() -> None:
    """Images have exact versions, ports are local, mounted files exist, and Grafana has no default password."""
    for name, service in load("monitoring.yml")["services"].items():
        assert re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+", service["image"]), name
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert not source.startswith(".") or (REPOSITORY / source).exists(), source
    assert load("monitoring.yml")["secrets"]["metrics_token"] == {"environment": "METRICS__TOKEN"}
    assert load("prometheus.yml")["scrape_configs"][0]["authorization"] == {
        "credentials_file": "/run/secrets/metrics_token"
    }
    assert ":?" in load("monitoring.yml")["services"]["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"]
