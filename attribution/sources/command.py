"""The arguments of `sources list`, `sources check` and `sources probe`, and their exit codes.

0: all is well; 1: what was looked at is not (a mistake in a file, a source that did not generate); 2: nothing could be
looked at.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from attribution.build import Placement, build_generator
from attribution.catalog import load_catalog
from attribution.errors import AttributionError
from attribution.resynthesis.pool import GeneratorPool
from attribution.sources.check import Severity, check
from attribution.sources.listing import as_json, as_table
from attribution.sources.probe import PROMPT, choose, probe


def main(arguments: Sequence[str]) -> int:
    """Runs one of the commands. Returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (AttributionError, OSError) as error:
        print(f"attribution: {error}", file=sys.stderr)
        return 2


def _list(options: argparse.Namespace) -> int:
    catalog, today = load_catalog(_directories(options)), datetime.now(UTC).date()
    print(as_json(catalog, today) if options.json else as_table(catalog, today))
    return 0


def _check(options: argparse.Namespace) -> int:
    findings = check(_directories(options), datetime.now(UTC).date())
    for finding in findings:
        print(finding)
    counts = {severity: sum(each.severity is severity for each in findings) for severity in Severity}
    print(", ".join(f"{count} {severity}{'' if count == 1 else 's'}" for severity, count in counts.items()))
    return 1 if counts[Severity.ERROR] else 0


def _probe(options: argparse.Namespace) -> int:
    placement = Placement(device=options.device, memory_mb=options.memory_mb)
    pool = GeneratorPool(partial(build_generator, placement=placement), placement.memory_mb)
    chosen = choose(load_catalog(_directories(options)), options.ids)
    width = max((len(source.id) for source in chosen), default=0)
    asked = []
    for source in chosen:
        answer = probe(source, pool.get, options.prompt, datetime.now(UTC).date(), options.save, options.timeout)
        print(answer.line(width), flush=True)
        asked.append(answer)
    spent = sum(answer.cost_usd or 0 for answer in asked)
    unknown = [answer.source for answer in asked if answer.cost_usd is None]
    print(f"spent ${spent:.3f}" + (f", and what {', '.join(unknown)} took" if unknown else ""))
    return 0 if asked and all(answer.generated for answer in asked) else 1


def _directories(options: argparse.Namespace) -> list[Path]:
    return options.catalog or [Path("sources")]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m attribution sources", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--catalog",
        type=Path,
        action="append",
        metavar="DIRECTORY",
        help="of *.toml, can be given more than once; default: sources",
    )
    listing = commands.add_parser("list", parents=[common], help="show what the catalog knows")
    listing.add_argument("--json", action="store_true", help="print JSON instead of a table")
    listing.set_defaults(run=_list)
    checking = commands.add_parser("check", parents=[common], help="read every file and say what is wrong in it")
    checking.set_defaults(run=_check)
    probing = commands.add_parser(
        "probe", parents=[common], help="ask each enabled source, or those named, for one image; vendors bill it"
    )
    probing.add_argument("ids", nargs="*", metavar="ID", help="sources to ask, enabled or not")
    probing.add_argument("--prompt", default=PROMPT, help=f"default: {PROMPT!r}")
    probing.add_argument("--save", type=Path, metavar="DIRECTORY", help="keep what they generate, as ID.png")
    probing.add_argument("--timeout", type=float, help="seconds per source, instead of the catalog's")
    probing.add_argument("--device", default="cpu")
    probing.add_argument("--memory-mb", type=int, default=Placement().memory_mb)
    probing.set_defaults(run=_probe)
    return parser
