"""Which addresses may see a key. An answer names where to poll: followed blindly, it could send a key anywhere."""

import httpx


def may_see_key(url: str, base_url: str, hosts: tuple[str, ...]) -> bool:
    """Whether an address that a vendor handed us is its own: https on its hosts, or the origin that we call anyway."""
    parsed = _parsed(url)
    if parsed is None or parsed.userinfo:
        return False
    if same_origin(url, base_url):
        return True
    own = any(parsed.host == host or parsed.host.endswith(f".{host}") for host in hosts)
    return own and parsed.scheme == "https" and parsed.port is None  # None: httpx drops a scheme's usual port


def same_origin(url: str, other: str) -> bool:
    """Whether two addresses share scheme, host and port."""
    one, two = _parsed(url), _parsed(other)
    return one is not None and two is not None and (one.scheme, one.host, one.port) == (two.scheme, two.host, two.port)


def scheme_of(url: str) -> str | None:
    """`https`, `http` or whatever it is, None where the text is no address."""
    parsed = _parsed(url)
    return parsed.scheme if parsed is not None else None


def _parsed(url: str) -> httpx.URL | None:
    # Spaces, line breaks and backslashes: parsers disagree about all of them.
    if not url.isprintable() or " " in url or "\\" in url:
        return None
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        return None
    return parsed if parsed.host and parsed.scheme in ("http", "https") else None
