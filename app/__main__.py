"""The operator's command line. Each group of commands is a module that adds its parsers and names their functions."""

import argparse
import sys
from collections.abc import Sequence

from app.commands import audit, feedback, keys, screening, tenants
from app.errors import ServiceError
from app.settings import load_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; a mistake that the operator can mend is a sentence on standard error and exit status 2."""
    parser = argparse.ArgumentParser(prog="python -m app", description=__doc__)
    groups = parser.add_subparsers(required=True, metavar="group")
    for module in (tenants, keys, screening, feedback, audit):
        module.add_commands(groups)
    parsed = parser.parse_args(arguments)
    try:
        parsed.run(load_settings(), parsed)
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
