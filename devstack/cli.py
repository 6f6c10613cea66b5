"""The command line of the development stack: `python -m devstack COMMAND`. The Makefile's demo targets call it."""

from __future__ import annotations

import io
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from devstack.console import Progress
from devstack.demo import KEY_LIFE, print_curl, waiting
from devstack.errors import DevstackError
from devstack.servers import servers
from devstack.stack import stack
from devstack.state import SAMPLE, StateDirectory, default_directory, remove

logger = logging.getLogger(__name__)


def serve(state_dir: Path) -> int:
    """Stays up until it is interrupted; ends of processes and their restarts are logged on the terminal."""
    console = Console(soft_wrap=True)
    console.print(f"Starting Postgres, Valkey, the API and the workers (logs: {escape(str(state_dir / 'log'))})")
    with stack(state_dir) as running:
        console.print(f"The API answers at [bold]{running.base_url}[/] (documentation: {running.base_url}/docs)")
        key = running.create_key("serve", *KEY_LIFE)
        try:
            with Progress(console) as progress:
                running.wait_until_warm(lambda readiness: progress.message(waiting(readiness)))
            console.print("Ready for images. Ctrl-C stops everything; what was computed stays in the state directory.")
        except DevstackError as error:
            logger.error("%s", error)  # the API can still accept: stay up and keep restarting
        print_curl(console, running.base_url, key)
        threading.Event().wait()
    return 0


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
