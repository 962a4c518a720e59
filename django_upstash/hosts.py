"""What a host name says by itself. No name server is asked."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

# Names that no public name server knows: RFC 6761, 6762, 8375, ICANN's .internal, and Kubernetes' services.
_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".home.arpa", ".svc")
_HOST_NAME = re.compile(r"[\w-]{1,63}(?:\.[\w-]{1,63})*")
# The system's resolver reads `2130706433` and `0x7f.1` as addresses.
_NUMERIC_ENDING = re.compile(r"(?:.*\.)?(?:\d+|0x[0-9a-f]*)")


def is_host(host: str) -> bool:
    """Tell whether this can be a host at all: a name or an address in its usual form."""
    if _address(host) is not None:
        return True
    host = host.removesuffix(".").lower()
    return bool(_HOST_NAME.fullmatch(host)) and not _NUMERIC_ENDING.fullmatch(host)


def is_loopback(host: str | None) -> bool:
    """Tell whether a host can only mean this machine."""
    if host is None:
        return False
    address = _address(host)
    if address is not None:
        return address.is_loopback
    host = host.removesuffix(".").lower()
    return host == "localhost" or host.endswith(".localhost")


def is_private(host: str) -> bool:
    """Tell whether a host is on this machine or in a private network, as ``redis`` is in a compose file."""
    address = _address(host)
    if address is not None:
        return not address.is_global
    host = host.removesuffix(".").lower()
    return is_host(host) and ("." not in host or host.endswith(_PRIVATE_SUFFIXES))


def is_upstash(host: str | None) -> bool:
    """Tell whether a host is one of Upstash's."""
    return host is not None and host.removesuffix(".").lower().endswith(".upstash.io")


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host)
    except ValueError:
        return None
    # Whether Python looks through ::ffff:8.8.8.8 by itself depends on its version.
    return getattr(address, "ipv4_mapped", None) or address
