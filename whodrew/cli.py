"""`whodrew COMMAND`: mounts the command lines of the method, the service, the workers, the evaluation and the devstack.

A command's package is imported when the command runs, and not before: `whodrew keys` needs no ML wheels, and
`whodrew --help` imports nothing.
"""

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Final, NamedTuple


class Mounted(NamedTuple):
    """A command: the module whose typer `app` has it, the words that select it there, and its line in the help."""

    module: str
    path: tuple[str, ...]
    help: str


COMMANDS: Final[Mapping[str, Mounted]] = {
    "attribute": Mounted("attribution.cli", ("attribute",), "Rank the sources that may have generated an image."),
    "evidence": Mounted("attribution.cli", ("evidence",), "Print what a file says about its own origin."),
    "sources": Mounted("attribution.cli", ("sources",), "List, check and probe the sources of the catalog."),
    "export-onnx": Mounted("attribution.cli", ("export-onnx",), "Write an embedder that needs no torch."),
    "known-answers": Mounted("attribution.cli", ("known-answers",), "Record or check what a model must reproduce."),
    "demo": Mounted("devstack.cli", ("demo",), "Start everything, attribute one image, stop."),
    "serve": Mounted("devstack.cli", ("serve",), "Start everything and keep it up until Ctrl-C."),
    "keys": Mounted("app.cli", ("keys",), "API keys of the service."),
    "tenants": Mounted("app.cli", ("tenants",), "Tenants, their limits and their retention."),
    "bank": Mounted("workers.bank_cli", (), "What past jobs taught: show, rebuild, export, import, warm."),
    "screening": Mounted("app.cli", ("screening",), "Hash lists and text rules."),
    "audit": Mounted("app.cli", ("audit",), "The audit log."),
    "feedback": Mounted("app.cli", ("feedback",), "Reported true sources, beside the results."),
    "evaluate": Mounted("evaluation.cli", (), "Datasets, accuracy, calibration, the papers' benchmark."),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script: returns the exit code, or exits as the mounted command does.

    Args:
        arguments: Command and options; those of the process if None.
    """
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("--help", "-h"):
        print(_help())
        return 0
    mounted = COMMANDS.get(name)
    if mounted is None:
        print(f"whodrew: there is no command {name!r}; `whodrew --help` lists them.", file=sys.stderr)
        return 2
    try:
        app = import_module(mounted.module).app
    except ImportError as error:
        print(
            f"whodrew: {name} needs {error.name}, which is not installed; install the package with its extras, as "
            "docs/deployment.md says.",
            file=sys.stderr,
        )
        return 2
    app([*mounted.path, *rest], prog_name="whodrew" if mounted.path else f"whodrew {name}")
    return 0


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {mounted.help}" for name, mounted in COMMANDS.items()]
    return "\n".join(
        [
            "Which generator made this image?",
            "",
            "usage: whodrew COMMAND [OPTIONS]",
            "",
            *lines,
            "",
            "`whodrew COMMAND --help` lists its options.",
        ]
    )
