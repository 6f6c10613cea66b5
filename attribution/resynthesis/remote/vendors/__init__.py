"""One module per vendor: its name is the adapter's name, its `VENDOR` the class. Modules are imported on first use."""

from importlib import import_module
from pkgutil import iter_modules

from attribution.resynthesis.remote.vendor import Vendor

NAMES: tuple[str, ...] = tuple(sorted(module.name for module in iter_modules(__path__)))


def vendor_named(name: str) -> type[Vendor]:
    """The vendor of an adapter in `NAMES`."""
    vendor: type[Vendor] = import_module(f"{__name__}.{name}").VENDOR
    return vendor
