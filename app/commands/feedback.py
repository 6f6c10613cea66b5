"""`python -m app feedback export`: what images turned out to be, beside what was answered, to measure by."""

import argparse
import json
import sys
from contextlib import closing
from typing import Any

from app.db.database import Database, connect
from app.jobs import feedback_repository
from app.settings import Settings


def add_commands(groups: Any) -> None:
    """Adds the group's parsers."""
    group = groups.add_parser("feedback", help="what images turned out to be", description=__doc__)
    commands = group.add_subparsers(required=True, metavar="command")
    exporting = commands.add_parser("export", help="write it as a line of JSON per job that has a result")
    exporting.set_defaults(run=export)


def export(settings: Settings, _: argparse.Namespace) -> None:
    """Writes to standard output, of all tenants, in the order of the jobs."""
    with closing(Database(connect(settings.database))) as database, database.transaction(durable=False) as session:
        for told, result in feedback_repository.list_with_results(session):
            line = {
                "job": str(told.job_id),
                "tenant": str(told.tenant_id),
                "source": told.source,
                "in_catalog": told.in_catalog,
                "note": told.note,
                "told_at": told.created_at.isoformat(),
                "result": result,
            }
            sys.stdout.write(json.dumps(line) + "\n")
