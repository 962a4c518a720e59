"""
Where a request comes from, as far as it can be believed.

Anyone can send an ``X-Forwarded-For`` of their own. It counts only where the site says which proxies stand before it:
by their networks (``TRUSTED_PROXIES``), or by their number (``NUM_PROXIES``, as Django REST framework has it).
"""

from __future__ import annotations

import logging
import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from django_upstash import conf

UNKNOWN = "unknown"
_FORWARDED_FOR = "HTTP_X_FORWARDED_FOR"
_FORWARDING = (_FORWARDED_FOR, "HTTP_FORWARDED")
_LONGEST = 64
_WITH_PORT = re.compile(r"\[([0-9A-Fa-f:.%\w]+)\](?::\d+)?|(\d+\.\d+\.\d+\.\d+):\d+", re.ASCII)
logger = logging.getLogger("django_upstash.ratelimit")

Address = IPv4Address | IPv6Address


def client_address(request: Any, num_proxies: int | None = None) -> str:
    """
    Return the client's address as limits count it: an IPv4 address, or the /64 network of an IPv6 address.

    ``TRUSTED_PROXIES`` goes before ``num_proxies``, which defaults to ``NUM_PROXIES``. With neither it is the address
    of whoever opened the connection, and a forwarding header is logged once. ``"unknown"`` is who has no address.
    """
    settings = conf.ratelimit_settings()
    peer = _parsed(request.META.get("REMOTE_ADDR") or "")
    hops = _hops(request.META.get(_FORWARDED_FOR) or "")
    if settings.trusted_proxies or settings.trusts_unix:
        return _counted(_untrusted(peer, hops, settings))
    if num_proxies is None:
        num_proxies = _num_proxies(settings)
    if num_proxies is None:
        _warn_once(request.META)
    elif num_proxies and hops:
        return _counted(_parsed(hops[-min(num_proxies, len(hops))]) or peer)
    return _counted(peer)


def _num_proxies(settings: conf.RateLimitSettings) -> int | None:
    number = settings.num_proxies
    return conf.rest_framework().get("NUM_PROXIES") if number is None else number


def _hops(header: str) -> list[str]:
    return [hop.strip() for hop in header.split(",")] if header.strip() else []


def _untrusted(peer: Address | None, hops: list[str], settings: conf.RateLimitSettings) -> Address | None:
    """Return the nearest hop that is no proxy of the site, or the farthest of its proxies."""
    found = peer
    trusted = settings.trusts_unix if peer is None else _is_trusted(peer, settings)
    while trusted and hops:
        hop = _parsed(hops.pop())
        if hop is None:
            break  # what a proxy passed on is no address: the proxy is as far as it can be followed
        found, trusted = hop, _is_trusted(hop, settings)
    return found


def _is_trusted(address: Address, settings: conf.RateLimitSettings) -> bool:
    return any(address in network for network in settings.trusted_proxies)


def _parsed(text: str) -> Address | None:
    """Return an address, without a port and a zone, and an IPv4 address in IPv6 as IPv4; None for anything else."""
    text = text.strip()
    if len(text) > _LONGEST:
        return None
    match = _WITH_PORT.fullmatch(text)
    try:
        found = ip_address((match[1] or match[2] if match else text).partition("%")[0])
    except ValueError:
        return None
    return (isinstance(found, IPv6Address) and found.ipv4_mapped) or found


def _counted(address: Address | None) -> str:
    # Whoever has one IPv6 address has the 2 ** 64 of its network.
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return UNKNOWN if address is None else str(address)


_warned: list[bool] = []


def _warn_once(meta: dict[str, Any]) -> None:
    if not _warned and any(meta.get(name) for name in _FORWARDING):
        _warned.append(True)
        logger.warning(
            "A request has a forwarding header, which is not believed: all clients of a proxy count as one. Name the "
            'proxies in UPSTASH_RATELIMIT["TRUSTED_PROXIES"], or their number in NUM_PROXIES, 0 where there is none.'
        )
