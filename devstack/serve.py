"""`make serve`: the same processes as the demo, up until Ctrl-C."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from devstack.console import Progress
from devstack.demo import KEY_LIFE, print_curl, waiting
from devstack.errors import DevstackError
from devstack.stack import stack

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
