"""Runs the command line in this process."""

from collections.abc import Sequence

from attribution.cli import app


def main(arguments: Sequence[str]) -> int:
    """The exit code of `python -m attribution` with these arguments."""
    try:
        app(list(arguments), prog_name="python -m attribution")
    except SystemExit as ended:
        return int(ended.code or 0)
    raise AssertionError("the command line always exits")
