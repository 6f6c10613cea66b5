"""Builds the generator of a remote source from its catalog entry. Nothing is sent, and no key is read."""

from attribution.catalog import SeedSupport, Source
from attribution.errors import ConfigurationError
from attribution.ports import ModelRef
from attribution.resynthesis.remote.engine import RemoteGenerator
from attribution.resynthesis.remote.keys import scheme_of
from attribution.resynthesis.remote.transport import Transport
from attribution.resynthesis.remote.vendor import Vendor
from attribution.resynthesis.remote.vendors import vendor_named
from attribution.resynthesis.remote.web import Connections

_AT_ONCE = 4  # images of one job generated in parallel, unless the catalog allows fewer
_TRANSPORT_PARAMETERS = ("key", "base_url")


def build_remote(source: Source, connections: Connections) -> RemoteGenerator:
    """The generator of an entry whose adapter is one of `vendors.NAMES`. Raises ConfigurationError."""
    kind = vendor_named(source.adapter)
    options = {name: value for name, value in source.parameters.items() if name not in _TRANSPORT_PARAMETERS}
    try:
        vendor = kind(source.model, options)
    except ConfigurationError as error:
        raise ConfigurationError(f"{source.id}: {error}") from None
    limits = [limit for limit in (vendor.max_prompt, source.limits.max_prompt_chars) if limit is not None]
    base_url = _base_url(source, vendor)
    return RemoteGenerator(
        source.id,
        ModelRef(source.model, source.revision),
        vendor,
        Transport(vendor, base_url, _key(source, vendor), connections),
        max_prompt=min(limits, default=None),
        max_seed=None if source.seed is SeedSupport.NO else vendor.seed_limit,
        at_once=min(_AT_ONCE, source.limits.concurrency or _AT_ONCE),
        sleep=connections.sleep,
    )


def _base_url(source: Source, vendor: Vendor) -> str:
    given = source.parameters.get("base_url", vendor.base_url)
    if given is None:
        raise ConfigurationError(f"{source.id}: parameters.base_url is needed: the address of {vendor.name}.")
    if not isinstance(given, str) or scheme_of(given) is None:
        raise ConfigurationError(f"{source.id}: parameters.base_url must be an http:// or https:// address.")
    return given


def _key(source: Source, vendor: Vendor) -> str | None:
    """The key that the entry names, or the vendor's own key, which is sent only to the vendor's own base URL."""
    given = source.parameters.get("key")
    if given is None:
        return vendor.key if vendor.base_url is None or "base_url" not in source.parameters else None
    if not isinstance(given, str) or not given.replace("_", "").isalnum() or not given.isascii():
        raise ConfigurationError(f"{source.id}: parameters.key must be the name of a key, in letters and digits.")
    return given.lower()
