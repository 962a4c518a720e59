"""
IP addresses and networks in one form, so that each client has one name, however its address is written. Pure.

An IPv6 address that carries an IPv4 address is that IPv4 address: mapped ones (``::ffff:0:0/96``, RFC 4291, section
2.5.5.2) and those of NAT64 (``64:ff9b::/96``, RFC 6052, section 2.1). A zone (``fe80::1%eth0``) is left out.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

LONGEST = 64  # characters that are looked at: an address with brackets, a zone and a port
_CARRIERS = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
_CARRIER_BITS = 96
_WITH_PORT = re.compile(r"\[([0-9A-Fa-f:.%\w]+)\](?::\d+)?|(\d+\.\d+\.\d+\.\d+):\d+", re.ASCII)


def parse_address(text: str) -> Address | None:
    """Return the address that a text is; None for anything else."""
    if len(text) > LONGEST:
        return None
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return _carried(found) if isinstance(found, IPv6Address) else found


def parse_hop(text: str) -> Address | None:
    """Return the address of a client or a proxy as headers have it: a port and brackets may be there as well."""
    text = text.strip()
    match = _WITH_PORT.fullmatch(text) if len(text) <= LONGEST else None
    return parse_address(match[1] or match[2] if match else text)


def parse_network(text: str) -> Network | None:
    """Return the network that a text is, an address as the network of itself; None for anything else."""
    if len(text) > LONGEST:
        return None
    try:
        found = ip_network(text, strict=False)
    except ValueError:
        return None
    if not isinstance(found, IPv6Network) or found.prefixlen < _CARRIER_BITS:
        return found
    inner = _carried(found.network_address)
    return IPv4Network((inner, found.prefixlen - _CARRIER_BITS)) if isinstance(inner, IPv4Address) else found


def client_network(found: Network) -> Network:
    """Return a network as clients count: a client with one IPv6 address has the 2 ** 64 of its /64."""
    return found.supernet(new_prefix=64) if found.version == 6 and found.prefixlen > 64 else found


def _carried(address: IPv6Address) -> Address:
    return IPv4Address(int(address) & 0xFFFF_FFFF) if any(address in carrier for carrier in _CARRIERS) else address
