"""Whether a request without a key may be a foreign web page's. Only with `ACCESS__ANONYMOUS` is there such a request.

A browser on the same host as the API sends it whatever any page asks for. A key protects from that, because no page has
it. Without one a page could post forms, and by DNS rebinding (its own name, resolved to this host) read responses. So
the host must be one of those that the API is known by here, and the page, if there is one, must be the API's own.
"""

from collections.abc import Collection

from starlette.datastructures import Headers

from app.errors import ForeignPage

_OWN_SITES = ("same-origin", "none")  # of Sec-Fetch-Site; `none` is what a person has typed


def refuse_foreign_pages(headers: Headers, hosts: Collection[str], origins: Collection[str]) -> None:
    """Raises ForeignPage unless the host is one of `hosts`, and the page's origin the API's own or one of `origins`."""
    host = headers.get("host", "")
    if _name(host) not in hosts:
        raise ForeignPage(
            "Without a key the API is reached by the names in ACCESS__ANONYMOUS_HOSTS only; use one of these, or a key."
        )
    origin = headers.get("origin")
    if origin is not None and origin not in origins and origin.partition("://")[2] != host:
        raise _of_another_origin()
    if origin is None and headers.get("sec-fetch-site", "none") not in _OWN_SITES:
        raise _of_another_origin()


def _name(host: str) -> str:
    """A `Host` without its port, and without the brackets of an IPv6 address."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0].lower()


def _of_another_origin() -> ForeignPage:
    return ForeignPage("A web page of another origin cannot make requests without a key; use one.")
