"""`sources list`: the catalog as a table and as JSON."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

from attribution.catalog import load_catalog
from attribution.sources.command import as_json, as_table

TODAY = date(2026, 11, 27)


def _five(add: Callable[..., Path]) -> Path:
    add("a")
    add("b", platform="elsewhere", top='price_usd = 0.0125\nseed = "no"', enabled="false")
    add("c", platform="elsewhere", lifecycle='state = "deprecated"\nuntil = 2026-12-01\nsuccessor = "b"')
    add("d", enabled="false", lifecycle='state = "retired"\nsince = 2026-05-12\nnote = "It is no more."')
    return add("e", enabled="false", adapter="none", lifecycle='state = "no_api"')


def test_the_table_has_a_row_for_each(add: Callable[..., Path]) -> None:
    """Below the table is a sentence for each source that is not available, or soon will not be."""
    table = as_table(load_catalog([_five(add)]), TODAY)
    assert table.splitlines() == [
        "source  lifecycle         adapter  enabled  seed         price    prompts",
        "a       live              fake     yes      yes          –        internal",
        "b       live              fake     no       no           $0.013   third party",
        "c       until 2026-12-01  fake     yes      unconfirmed  unknown  third party",
        "d       ended 2026-05-12  fake     no       –            –        –",
        "e       no API            none     no       –            –        –",
        "",
        "c: Fake c will be switched off on 2026-12-01. Its successor is b.",
        "d: It is no more.",
        "e: Fake e cannot be called by a program.",
    ]


def test_a_deprecated_source_is_gone_after_its_day(add: Callable[..., Path]) -> None:
    """After the last day, the table shows a deprecated source as ended."""
    table = as_table(load_catalog([_five(add)]), date(2026, 12, 2))
    assert "c       ended 2026-12-01" in table
    assert "c: Fake c was switched off on 2026-12-01. Its successor is b." in table


def test_json_says_everything(add: Callable[..., Path]) -> None:
    """JSON has the content of the file, and the obstacle or warning of today."""
    a, _, c, d, _ = json.loads(as_json(load_catalog([_five(add)]), TODAY))
    assert (a["id"], a["external"], a["obstacle"], a["warning"]) == ("a", False, None, None)
    assert c["lifecycle"]["until"] == "2026-12-01"
    assert c["warning"].startswith("Fake c will be switched off")
    assert d["obstacle"] == {"state": "retired", "reason": "It is no more."}
    assert d["limits"]["timeout_seconds"] == 120
