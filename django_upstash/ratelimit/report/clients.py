"""The names of clients that operators type: of which kind they are, whether they are slips, how they are kept. Pure."""

from __future__ import annotations

import re
from enum import StrEnum

from django_upstash.diagnostics.formatting import escaped
from django_upstash.ratelimit.keys import address, is_user
from django_upstash.settings.addresses import LONGEST, Network, client_network, parse_address, parse_network

_LONGEST_PLAIN = 12
_LONGEST_LABEL = 80
_LONGEST_LIST = 1000
_OF_LISTS = re.compile(r"[\s,;-]+")
# What consists of numbers and points means to be an address of IPv4, with a port or a mask perhaps.
_LIKE_IPV4 = re.compile(r"[\d.]*\d\.[\d.]*(:\d*)?(/[\w.]*)?")
_LIKE_IPV6 = re.compile(r"\[?[0-9A-Za-z]{0,5}(:[0-9A-Za-z]{0,5}){2,}(:[\d.]+)?(%[\w.-]*)?\]?(:\d+)?(/\w*)?")
_NO_HEX = re.compile(r"[g-zG-Z]")
_PLAIN = re.compile(r"[A-Za-z]{1,10}[ :_.-]?\d{0,8}", re.ASCII)


class NameKind(StrEnum):
    """What a typed name of a client is."""

    USER = "user"
    ADDRESS = "address"
    NETWORK = "network"
    BROKEN = "broken"  # looks like an address or a network, and is not valid
    OTHER = "other"  # a token, an e-mail address, or a slip: nobody can tell


def kind_of(typed: str) -> NameKind:
    """Return what a typed name is."""
    if is_user(typed):
        return NameKind.USER
    if address(typed) is not None:
        return NameKind.NETWORK if "/" in typed else NameKind.ADDRESS
    return NameKind.BROKEN if _is_broken(typed) else NameKind.OTHER


def network_of(typed: str) -> Network | None:
    """Return the network that is typed, as clients count; None for anything else."""
    found = parse_network(typed) if kind_of(typed) is NameKind.NETWORK else None
    return None if found is None else client_network(found)


def label_of(typed: str) -> str:
    """
    Return a typed name as it may be kept: what may be a token or an e-mail address shows its first and last alone.

    A user, an address and a short word, which is rather a slip than a secret, are kept as they are.
    """
    if kind_of(typed) is not NameKind.OTHER or (len(typed) <= _LONGEST_PLAIN and _PLAIN.fullmatch(typed)):
        return escaped(typed)[:_LONGEST_LABEL]
    local, at, domain = typed.rpartition("@")
    if at and local:
        return escaped(f"{local[0]}…@{domain}")[:_LONGEST_LABEL]
    if len(typed) < _LONGEST_PLAIN:
        return f"{escaped(typed[0])}… ({len(typed)})"
    return f"{escaped(typed[:3])}…{escaped(typed[-2:])} ({len(typed)})"


def _is_broken(typed: str) -> bool:
    parts = [part for part in _OF_LISTS.split(typed) if part] if len(typed) <= _LONGEST_LIST else []
    are_several = len(parts) > 1 and all(parse_address(part) or _is_like_address(part) for part in parts)
    return are_several or _is_like_address(typed)


def _is_like_address(text: str) -> bool:
    front, slash, _mask = text.partition("/")
    if slash and parse_address(front) is not None:
        return True
    if len(text) > LONGEST:
        return False
    if _LIKE_IPV4.fullmatch(text):
        return True
    return bool(_LIKE_IPV6.fullmatch(text)) and len(_NO_HEX.findall(text.partition("%")[0])) <= 2
