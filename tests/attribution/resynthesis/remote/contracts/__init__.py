"""One module per vendor: its `CONTRACT`, the row of it in the table of docs/vendors.md."""

from importlib import import_module
from pkgutil import iter_modules

from tests.attribution.resynthesis.remote.contract import Contract

NAMES: tuple[str, ...] = tuple(sorted(module.name for module in iter_modules(__path__)))


def contracts() -> list[Contract]:
    """All, by the names of their adapters."""
    return [import_module(f"{__name__}.{name}").CONTRACT for name in NAMES]
