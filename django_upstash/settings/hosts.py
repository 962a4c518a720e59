"""What a host name says by itself. No name server is asked."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

# Names that no public name server knows: RFC 6761, 6762, 8375, ICANN's .internal, and Kubernetes' services.
_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".home.arpa", ".svc")
# Upstash on Fly.io, which answers on Fly's private network only, without TLS (https://fly.io/docs/upstash/redis/).
_ON_FLY = re.compile(r"fly-[\w-]+\.upstash\.io")
_HOST_NAME = re.compile(r"[\w-]{1,63}(?:\.[\w-]{1,63})*")
# The system's resolver reads `2130706433` and `0x7f.1` as addresses.
_ONE_SLASH = re.compile(r"(unix):/(?!/)", re.IGNORECASE)
# What IDNA 2003 takes for a dot, and what it maps away or to other letters than name servers of today know.
_DOTS = re.compile("[.\u3002\uff0e\uff61]")
_DEVIATING = re.compile("[\u00df\u03c2\u200c\u200d]")
_NUMERIC_ENDING = re.compile(r"(?:.*\.)?(?:\d+|0x[0-9a-f]*)")


def is_host(host: str) -> bool:
    """Tell whether this can be a host at all: a name or an address in its usual form."""
    if _address(host) is not None:
        return True
    host = host.removesuffix(".").lower()
    return bool(_HOST_NAME.fullmatch(host)) and not _NUMERIC_ENDING.fullmatch(host)


def normal_url(url: str) -> str:
    """
    Return a URL in the form in which all else reads it: a host with its ASCII name, ``unix:/path`` with three slashes.

    A URL that has no such form is returned as it is, for others to say what is wrong with it.
    """
    url = _ONE_SLASH.sub(r"\1:///", url, count=1)
    if url.isascii():
        return url
    try:
        netloc = urlsplit(url).netloc
        userinfo, at, place = netloc.rpartition("@")
        host, colon, port = place.partition(":")
        return url.replace(netloc, f"{userinfo}{at}{ascii_name(host)}{colon}{port}", 1)
    except ValueError:
        return url


def ascii_name(host: str) -> str:
    """Return a host's name as name servers and certificates have it; raise ``ValueError`` where it has none."""
    if host.isascii():
        return host
    return ".".join(_ascii_label(label) for label in _DOTS.split(host))


def readable_name(host: str) -> str:
    """Return a host's name as people write it, if its ASCII form encodes other letters."""
    try:
        return host.encode("ascii").decode("idna")
    except ValueError:
        return host


def _ascii_label(label: str) -> str:
    if label.isascii():
        return label
    try:
        import idna
    except ImportError:
        if _DEVIATING.search(label):
            raise ValueError("this name needs the package idna") from None
        return label.encode("idna").decode("ascii")
    return idna.encode(label, uts46=True).decode("ascii")


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
    return is_host(host) and ("." not in host or host.endswith(_PRIVATE_SUFFIXES) or bool(_ON_FLY.fullmatch(host)))


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
