"""Whom a request is counted by: its user, its address, or what a function of the site says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.utils.module_loading import import_string

from django_upstash.ratelimit.limiter import Identity
from django_upstash.ratelimit.web.addresses import client_address

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
    """Return whom a request is counted by, whether the function is to be awaited or not."""
    return _text(async_to_sync(identify)(request) if iscoroutinefunction(identify) else identify(request))


async def aidentified(identify: Identify, request: Any) -> Identity | None:
    """Do as ``identified`` does, awaited: a function that is not for that is called in a thread, for it may do I/O."""
    if identify is user_or_address:
        identify = _auser_or_address
    if identify is address:
        return client_address(request)
    if iscoroutinefunction(identify):
        return _text(await identify(request))
    return _text(await sync_to_async(identify)(request))


def _text(found: Any) -> Identity | None:
    """Return the text that is meant by numbers too, such as a primary key."""
    if found is None:
        return None
    if isinstance(found, Mapping):
        return {scope: str(identity) for scope, identity in found.items()}
    return str(found)
