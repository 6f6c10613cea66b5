"""The command line of the development stack: `python -m devstack COMMAND`. The Makefile's demo targets call it."""

from __future__ import annotations

import io
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from devstack.errors import DevstackError
from devstack.servers import servers
from devstack.state import StateDirectory, default_directory, remove

SAMPLE = Path(__file__).resolve().parent.parent / "zoo" / "samples" / "sample.png"
Image = Annotated[Path, typer.Argument(help="the image to attribute")]


class _DevstackGroup(TyperGroup):
    """Prepares the terminal and the signals; an error of this package becomes one sentence and exit code 2."""

    def invoke(self, ctx: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a locale without the papers' symbols must not end the demo
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        logging.getLogger("httpx").setLevel(logging.WARNING)
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                signal.signal(number, _interrupt)
        try:
            return super().invoke(ctx)
        except DevstackError as error:
            typer.echo(f"\n{error}", err=True)
            raise typer.Exit(2) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(130) from error


app = typer.Typer(
    cls=_DevstackGroup,
    help="Real Postgres and Valkey from wheels, with the whole service on top.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command("demo")
def _demo(image: Image = SAMPLE) -> None:
    """Sends one image through the whole service and prints its ranking."""
    from devstack.demo import demo

    raise typer.Exit(demo(default_directory(), image))


@app.command("demo-remote")
def _demo_remote(image: Image = SAMPLE) -> None:
    """The same with stub vendors and uploaded reference images."""
    from devstack.demo_remote import demo_remote

    raise typer.Exit(demo_remote(default_directory(), image))


@app.command("serve")
def _serve() -> None:
    """Keeps the whole service up until Ctrl-C."""
    from devstack.serve import serve

    try:
        serve(default_directory())
    except KeyboardInterrupt as error:
        raise typer.Exit(0) from error


@app.command("clean")
def _clean() -> None:
    """Removes the state directory, databases included."""
    state_dir = default_directory()
    for directory in (state_dir / "demo-remote", state_dir):
        if directory.exists():
            with StateDirectory(directory):  # fails while it is in use
                remove(directory)


@app.command("run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def _run(command: Annotated[list[str], typer.Argument(metavar="COMMAND…")]) -> None:
    """Runs a command with DATABASE__URL and REDIS__URL of the two servers."""
    with servers(default_directory()) as running:
        urls = {"DATABASE__URL": running.database_url, "REDIS__URL": running.redis_url}
        raise typer.Exit(subprocess.run(command, env={**os.environ, **urls}, check=False).returncode)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and exits with its code."""
    app(arguments, prog_name="python -m devstack")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
