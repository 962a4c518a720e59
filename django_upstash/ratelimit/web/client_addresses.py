"""
Where a request comes from, as far as it can be believed.

Anyone can send an ``X-Forwarded-For`` of their own. It counts only where the site says which proxies it has: by their
networks (``TRUSTED_PROXIES``), or by their number (``NUM_PROXIES``, as Django REST framework has it). A platform whose
edge sets the client's address in a header of its own is named by that header (``CLIENT_IP_HEADER``).
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from typing import Any

from django_upstash.log import get_logger
from django_upstash.ratelimit.settings import RateLimitSettings, ratelimit_settings
from django_upstash.settings import conf
from django_upstash.settings.addresses import Address, parse_hop

UNKNOWN = "unknown"
_FORWARDED_FOR = "HTTP_X_FORWARDED_FOR"
_FORWARDING = (_FORWARDED_FOR, "HTTP_FORWARDED")
logger = get_logger("django_upstash.ratelimit")


def client_address(request: Any, num_proxies: int | None = None) -> str:
    """
    Return the client's address as limits count it: an IPv4 address, or the /64 network of an IPv6 address.

    ``CLIENT_IP_HEADER`` comes first, then ``TRUSTED_PROXIES``, then ``num_proxies``, which defaults to ``NUM_PROXIES``.
    With none of them it is the address of the peer that opened the connection, and a forwarding header is logged once.
    ``"unknown"`` is a client without an address.
    """
    settings = ratelimit_settings()
    peer = _peer(request.META.get("REMOTE_ADDR") or "")
    if settings.client_ip_header is not None:
        return _counted(_named_by_edge(request.META, peer, settings))
    hops = _hops(request.META.get(_FORWARDED_FOR) or "")
    if settings.trusted_proxies:
        return _counted(_untrusted(peer, hops, settings))
    if num_proxies is None:
        num_proxies = _num_proxies(settings)
    if num_proxies is None:
        _warn_once(request.META)
    elif num_proxies and hops:
        return _counted(parse_hop(hops[-min(num_proxies, len(hops))]) or peer)
    return _counted(peer)


def _peer(remote: str) -> Address | None:
    """Return the peer's address. Vercel's Python runtime puts the whole ``X-Forwarded-For`` there, the peer's last."""
    return parse_hop(remote.rpartition(",")[2])


def _named_by_edge(meta: dict[str, Any], peer: Address | None, settings: RateLimitSettings) -> Address | None:
    """Return the address in ``CLIENT_IP_HEADER``; the peer's where that is missing, unreadable or not to be trusted."""
    if settings.trusted_proxies and not _is_trusted(peer, settings):
        return peer
    name = f"HTTP_{settings.client_ip_header.upper().replace('-', '_')}"  # type: ignore[union-attr]
    # The last of several: an edge that appends to what the client has sent appends its own word.
    return parse_hop((meta.get(name) or "").rpartition(",")[2]) or peer


def _num_proxies(settings: RateLimitSettings) -> int | None:
    number = settings.num_proxies
    return (conf.setting("REST_FRAMEWORK") or {}).get("NUM_PROXIES") if number is None else number


def _hops(header: str) -> list[str]:
    return [hop.strip() for hop in header.split(",")] if header.strip() else []


def _untrusted(peer: Address | None, hops: list[str], settings: RateLimitSettings) -> Address | None:
    """Return the nearest hop that is no proxy of the site, or the farthest of its proxies."""
    found = peer
    while _is_trusted(found, settings) and hops:
        hop = parse_hop(hops.pop())
        if hop is None:
            break  # what a proxy passed on is no address: the proxy is as far as it can be followed
        found = hop
    return found


def _is_trusted(address: Address | None, settings: RateLimitSettings) -> bool:
    """Tell whether an address is a proxy of the site; None is the peer of a unix socket."""
    if address is None:
        return settings.trusts_unix
    return any(address in network for network in settings.trusted_networks)


def _counted(address: Address | None) -> str:
    # Whoever has one IPv6 address has the 2 ** 64 of its network.
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, 64), strict=False))
    return UNKNOWN if address is None else str(address)


_warned: list[bool] = []


def _warn_once(meta: dict[str, Any]) -> None:
    if not _warned and any(meta.get(name) for name in _FORWARDING):
        _warned.append(True)
        logger.warning(
            "A request has a forwarding header, which is not believed: all clients of a proxy count as one. Name the "
            'proxies in UPSTASH_RATELIMIT["TRUSTED_PROXIES"], or their number in NUM_PROXIES, 0 if there is none.'
        )
