"""Checks a URL before its name is resolved: when it is accepted, and again at every redirect.

There is one parser: the host that is checked here is the host that is connected to.
"""

import re
from ipaddress import ip_address

import httpx

from app.egress.connect import AddressPolicy
from app.errors import AddressRefused
from app.settings import EgressSettings

# Signed URLs of object stores come close to half of this.
_MAX_LENGTH = 4_096
_MAX_HOST = 253
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
# For browsers and getaddrinfo a host whose last label is a number is an IPv4 address in some notation.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# Lower ones belong to mail, shells and the like, whose protocols a request's body could imitate.
_LOW_PORTS = (80, 443)
_FIRST_HIGH_PORT = 1_024


def check_url(url: str, settings: EgressSettings) -> str:
    """The URL in its normal form, without blanks around it and fragment. Resolves nothing. Raises AddressRefused."""
    url = url.strip()  # copying an address takes a blank or a line break with it
    # Spaces, line breaks, backslashes and invisible characters: parsers disagree about all of them.
    if not url.isprintable() or " " in url or "\\" in url:
        raise AddressRefused("The address contains a space, a backslash or an invisible character; encode it as %XX.")
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise AddressRefused("The address is not a valid URL.") from error
    schemes = ("https",) if settings.https_only else ("http", "https")
    if parsed.scheme not in schemes:
        raise AddressRefused(f"The address must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}.")
    if parsed.userinfo:
        raise AddressRefused("The address must not contain a user name or a password.")
    if parsed.port is not None and not (parsed.port in _LOW_PORTS or _FIRST_HIGH_PORT <= parsed.port <= 65_535):
        raise AddressRefused("The address must use port 80, port 443, or one from 1024 to 65535.")
    host = _check_host(parsed.raw_host.decode("ascii").removesuffix("."), settings)
    normal = str(parsed.copy_with(host=host, fragment=None))
    if len(normal) > _MAX_LENGTH:
        raise AddressRefused(f"The address is longer than {_MAX_LENGTH:,} characters.")
    return normal


def join_url(base: str, location: str) -> str:
    """The target of a redirect, unchecked. Raises AddressRefused."""
    try:
        return str(httpx.URL(base).join(location))
    except (httpx.InvalidURL, ValueError) as error:
        raise AddressRefused("The address is not a valid URL.") from error


def _check_host(host: str, settings: EgressSettings) -> str:
    if ":" in host or _NUMBER.fullmatch(host.rpartition(".")[2]):
        try:
            normal = str(ip_address(host))
        except ValueError as error:
            raise AddressRefused("The IP address in the address must be in its standard notation.") from error
        if not AddressPolicy(settings.allow).allows(normal, normal):
            raise AddressRefused("The address must be a public one.")
        return normal
    if len(host) > _MAX_HOST or not _NAME.fullmatch(host):
        raise AddressRefused("The address has no valid host name.")
    return host
