"""
The names under which limits are stored: ``ratelimit:<tenant>:<scope>:<identity>``, each part percent-encoded.

The prefix of the environment comes before that, where there is one.

An operator who looks at the keys reads ``user:<pk>`` and addresses. Whatever else names a client may be a token or an
e-mail address, and may be of any length and any characters: its key holds a keyed digest, found by exact search only.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from urllib.parse import quote

from django.utils.encoding import force_bytes

from django_upstash.operations.keys import root
from django_upstash.ratelimit.rates import shown
from django_upstash.ratelimit.settings import RateLimitSettings, ratelimit_settings
from django_upstash.settings import conf
from django_upstash.settings.addresses import client_network, parse_address, parse_network

_ROOT = "ratelimit"
_PURPOSE = b"upstash limits 1"
_USER = re.compile(r"user:[0-9A-Za-z_-]{1,64}", re.ASCII)
_ADDRESS = re.compile(r"[0-9A-Fa-f.:/]{2,49}(%[\w.-]{1,32})?", re.ASCII)


def beginning(kind: str = "") -> str:
    """Return what the keys of counters begin with; of ``rules`` or ``stats``, where that ``kind`` is asked for."""
    return root(f"{_ROOT}-{kind}:" if kind else f"{_ROOT}:")


def key_prefix(tenant: str, scope: str) -> str:
    """Return what the keys of one tenant's scope begin with."""
    return f"{beginning()}{_encoded(tenant)}:{_encoded(scope)}:"


def family_key(kind: str, tenant: str) -> str:
    """Return the key of what concerns a tenant as a whole; ``kind`` is ``rules`` or ``stats``."""
    return f"{beginning(kind)}{_encoded(tenant)}"


def check_parts(tenant: str, scope: str) -> None:
    """Raise ``ValueError`` for a tenant or a scope that cannot be a part of keys."""
    _encoded(tenant)
    _encoded(scope)


def stored_identity(identity: str, settings: RateLimitSettings | None = None) -> str:
    """
    Return an identity as keys have it; raise ``TypeError`` for what is no text.

    Addresses are brought to one form, so that nobody counts twice by writing theirs differently.
    """
    if not isinstance(identity, str):
        raise TypeError(f"An identity must be text, not {type(identity).__name__}: {shown(identity)}.")
    digest_all = (settings or ratelimit_settings()).digest_identities
    if not digest_all and _USER.fullmatch(identity):
        return identity
    return _stored_identity(identity, digest_all, conf.signing_secrets()[0])


@lru_cache(maxsize=4096)
def _short(identity: str, digest_all: bool, secret: str | bytes) -> str:
    readable = identity if _USER.fullmatch(identity) else address(identity)
    return _digest(readable or identity, secret) if digest_all or readable is None else readable


def _stored_identity(identity: str, digest_all: bool, secret: str | bytes) -> str:
    # Long ones would fill the memory, and are no addresses.
    return _digest(identity, secret) if len(identity) > 128 else _short(identity, digest_all, secret)


def is_user(identity: str) -> bool:
    """Tell whether an identity is ``user:<pk>``, which keys have as it is."""
    return _USER.fullmatch(identity) is not None


def address(text: str) -> str | None:
    """Return an address or a network in its shortest form, an IPv4 address in IPv6 as IPv4; None for anything else."""
    if not _ADDRESS.fullmatch(text):
        return None
    found = parse_network(text) if "/" in text else parse_address(text)
    return None if found is None else str(found)


def network(text: str) -> str | None:
    """Return an address or a network as a network, of IPv6 a /64 at least, as clients count; None for anything else."""
    found = parse_network(text) if _ADDRESS.fullmatch(text) else None
    return None if found is None else str(client_network(found))


def _digest(identity: str, secret: str | bytes) -> str:
    # Python keeps bytes that are no UTF-8 as lone surrogates: these have digests of their own.
    text = identity.encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=16, key=_digest_key(secret)).hexdigest()


@lru_cache(maxsize=8)
def _digest_key(secret: str | bytes) -> bytes:
    return blake2b(force_bytes(secret), digest_size=32, person=_PURPOSE).digest()


def _encoded(part: str) -> str:
    if not (part and isinstance(part, str)):
        raise ValueError(f"A tenant or a scope is {shown(part)}: it must be a text that is not empty.")
    return quote(part.encode("utf-8", "surrogatepass"), safe="")
