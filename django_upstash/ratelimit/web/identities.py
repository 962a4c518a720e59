"""Whom a request is counted by: its user, its address, or what a function of the site says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from django.utils.module_loading import import_string

from django_upstash import callbacks
from django_upstash.ratelimit.limiter_base import Identity
from django_upstash.ratelimit.web.client_addresses import client_address

# None is who shall not be limited.
Identify: TypeAlias = Callable[[Any], Any]


def address(request: Any) -> str:
    """Return the client's address."""
    return client_address(request)


def user_or_address(request: Any) -> str:
    """Return ``user:<pk>`` where the user is known, and else the client's address."""
    return of_user(getattr(request, "user", None)) or client_address(request)


async def _auser_or_address(request: Any) -> str:
    auser = getattr(request, "auser", None)
    return of_user(None if auser is None else await auser()) or client_address(request)


def of_user(user: Any) -> str | None:
    """Return the identity of a user who has logged in; None for anybody else."""
    return f"user:{user.pk}" if user and user.is_authenticated else None


_NAMED: dict[str, Identify] = {"user": user_or_address, "address": address}


def identify_by(given: str | Identify) -> Identify:
    """Return the function that is meant by ``"user"``, by ``"address"``, or by its dotted path."""
    if callable(given):
        return given
    return _NAMED.get(given) or import_string(given)


def identified(identify: Identify, request: Any) -> Identity | None:
    """
    Return whom a request is counted by, or None where it is not limited.

    Raises ``TypeError`` for anything but a text, a mapping from scopes to texts, or None.
    """
    return _identity(identify, callbacks.call(_what(identify), identify, request))


async def aidentified(identify: Identify, request: Any) -> Identity | None:
    """``identified``, awaited: a function that is not async is called in a thread, because it may do I/O."""
    if identify is user_or_address:
        identify = _auser_or_address
    if identify is address:
        return client_address(request)
    return _identity(identify, await callbacks.acall(_what(identify), identify, request))


def _identity(identify: Identify, found: Any) -> Identity | None:
    if found is None:
        return None
    if isinstance(found, Mapping):
        return {scope: callbacks.text(f"{_what(identify)}[{scope!r}]", one) for scope, one in found.items()}
    return callbacks.text(_what(identify), found)


def _what(identify: Identify) -> str:
    return f"identity={callbacks.name_of(identify)}"
