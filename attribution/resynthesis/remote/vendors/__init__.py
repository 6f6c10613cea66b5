"""One module per vendor: its name is the adapter's name, its class the vendor. Modules are imported on first use."""

from importlib import import_module
from pkgutil import iter_modules

from attribution.resynthesis.remote.vendor import Vendor

NAMES: tuple[str, ...] = tuple(sorted(module.name for module in iter_modules(__path__)))


def vendor_named(name: str) -> type[Vendor]:
    """The vendor of an adapter in `NAMES`: the one subclass that its module defines."""
    classes = vars(import_module(f"{__name__}.{name}")).values()
    vendors = [each for each in classes if isinstance(each, type) and issubclass(each, Vendor)]
    (vendor,) = (each for each in vendors if each.__module__ == f"{__name__}.{name}")
    return vendor
