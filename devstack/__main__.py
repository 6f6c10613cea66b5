"""`python -m devstack demo [IMAGE]`, `… demo-remote [IMAGE]`, `… serve`, `… run COMMAND` (with both servers up),
`… clean`. Behind `make`."""

from __future__ import annotations

import argparse
import io
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from devstack.errors import EmbeddedError
from devstack.servers import servers
from devstack.state import StateDirectory, default_directory, remove


def main(arguments: Sequence[str]) -> int:
    """Run one of the commands; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m devstack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("demo", help="one image through the whole service").add_argument("image", nargs="?", type=Path)
    remote = commands.add_parser("demo-remote", help="the same with stub vendors and generated images that are brought")
    remote.add_argument("image", nargs="?", type=Path)
    commands.add_parser("serve", help="the whole service, until Ctrl-C")
    commands.add_parser("clean", help="remove the state directory, databases included")
    run = commands.add_parser("run", help="a command with DATABASE__URL and REDIS__URL of the embedded servers")
    run.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND")
    options = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a locale without the papers' symbols must not end the demo
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, _interrupt)
    try:
        return _command(options)
    except EmbeddedError as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0 if options.command == "serve" else 130


def _command(options: argparse.Namespace) -> int:
    state_dir = default_directory()
    match options.command:
        case "demo":
            from devstack import demo

            return demo.demo(state_dir, options.image or demo.SAMPLE)
        case "demo-remote":
            from devstack import demo, demo_remote

            return demo_remote.demo_remote(state_dir, options.image or demo.SAMPLE)
        case "serve":
            from devstack.serve import serve

            return serve(state_dir)
        case "clean":
            for directory in (state_dir / "demo-remote", state_dir):
                if directory.exists():
                    with StateDirectory(directory):  # nobody may be using it
                        remove(directory)
            return 0
        case _:
            with servers(state_dir) as running:
                urls = {"DATABASE__URL": running.database_url, "REDIS__URL": running.redis_url}
                return subprocess.run(options.argv, env={**os.environ, **urls}, check=False).returncode


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
