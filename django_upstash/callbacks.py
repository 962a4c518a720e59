"""
Functions that a site passes in, as parameters or by settings: one rule for all of them.

What such a function returns is awaited wherever that is possible: in asynchronous code, and in synchronous code of a
thread in which no event loop runs. Where it is not, and where the result is of another type than documented,
``TypeError`` names the parameter or the setting. Without the rule a coroutine would count as a true value, and an
object's ``repr`` as a name that is different for every request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from inspect import isawaitable, iscoroutine
from ipaddress import IPv4Address, IPv6Address
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async

_TEXTS = (str, bytes, int, UUID, IPv4Address, IPv6Address)


class WrongResultError(TypeError):
    """A function of the site returned what it must not: a mistake in the code, which no policy for failures hides."""


def is_async(function: Any) -> bool:
    """Tell whether a call of this returns an awaitable: a coroutine function, a partial of one, ``async __call__``."""
    while isinstance(function, partial):
        function = function.func
    return iscoroutinefunction(function) or iscoroutinefunction(getattr(type(function), "__call__", None))  # noqa: B004


def call(what: str, function: Callable[..., Any], *args: Any) -> Any:
    """Return what a function returns, awaited if need be; raise ``TypeError`` where this thread cannot await."""
    return settle(what, function(*args))


async def acall(what: str, function: Callable[..., Any], *args: Any) -> Any:
    """Return what a function returns, awaited if need be. One that is not async runs in a thread, for it may do I/O."""
    found = await function(*args) if is_async(function) else await sync_to_async(function)(*args)
    return await found if isawaitable(found) else found


def settle(what: str, found: Any) -> Any:
    """Return a result, awaited if need be; raise ``TypeError`` where this thread cannot await."""
    if not isawaitable(found):
        return found
    if _runs_a_loop():
        raise awaitable_error(what, found, "which synchronous code on an event loop cannot wait for")
    return async_to_sync(_awaited)(found)


def refuse_awaitable(what: str, found: Any) -> Any:
    """Return a result; raise ``TypeError`` for one that would have to be awaited."""
    if isawaitable(found):
        raise awaitable_error(what, found, "and is not awaited: make it a plain function")
    return found


def awaitable_error(what: str, found: Any, why: str) -> TypeError:
    """Return the error for an awaitable, which is closed, so that Python does not warn of it as well."""
    if iscoroutine(found):
        found.close()
    return WrongResultError(f"{what} returned an awaitable ({type(found).__name__}), {why}.")


def data(what: str, found: Any) -> bytes:
    """Return the bytes that a result is."""
    if isinstance(found, bytes):
        return found
    if isinstance(found, bytearray | memoryview):
        return bytes(found)
    refuse_awaitable(what, found)
    raise WrongResultError(f"{what} returned {_article(found)}; it must return bytes.")


def text(what: str, found: Any) -> str:
    """Return the text that a result is. Bytes, whole numbers, UUIDs and IP addresses have one, too."""
    if isinstance(found, _TEXTS) and not isinstance(found, bool):
        return str(found)
    raise TypeError(f"{what} returned {_article(found)}; it must return a text.")


def key_text(what: str, found: Any) -> str:
    """Return the key that a result is: a text, as it is."""
    if isinstance(found, str):
        return found
    refuse_awaitable(what, found)
    raise TypeError(f"{what} returned {_article(found)}; it must return a text.")


def number(what: str, found: Any) -> int:
    """Return the whole number that a result is."""
    if isinstance(found, int) and not isinstance(found, bool):
        return found
    raise TypeError(f"{what} returned {_article(found)}; it must return a whole number.")


def truth(what: str, found: Any) -> bool:
    """Return whether a result is true; raise ``TypeError`` for an object that is always true."""
    if found is None or hasattr(type(found), "__bool__") or hasattr(type(found), "__len__"):
        return bool(found)
    raise TypeError(f"{what} returned {_article(found)}; it must return True or False.")


def name_of(function: Any) -> str:
    """Return a function's name for messages; of an object, its type's."""
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "__qualname__", None) or type(function).__qualname__


def _article(found: Any) -> str:
    return "None" if found is None else f"an object of type {type(found).__name__}"


def _runs_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _awaited(found: Awaitable[Any]) -> Any:
    return await found
