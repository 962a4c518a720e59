"""``@idempotent``: for views that are functions, methods or classes, synchronous or not."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable
from functools import wraps
from inspect import isawaitable
from typing import Any, TypeVar, overload

from django.http.response import HttpResponseBase

from django_upstash import callbacks
from django_upstash.idempotency.endings import to_its_end
from django_upstash.idempotency.protection import ProtectedCall, Protection
from django_upstash.idempotency.requests import django_request

View = TypeVar("View", bound=Callable[..., Any])
# What the middleware leaves alone is marked so.
HANDLED = "handles_idempotency"


@overload
def idempotent(view: View, /) -> View: ...
@overload
def idempotent(**options: Any) -> Callable[[View], View]: ...
def idempotent(view: Any = None, /, **options: Any) -> Any:
    """
    Execute a view once for each ``Idempotency-Key``, and answer all other requests with the response of that.

        @login_required
        @idempotent(required=True)
        def pay(request): ...

    It decorates functions, methods and whole class-based views. What decorates the view above it, such as a check of
    permissions, runs for replays, too. ``options`` are the fields of ``Protection``. Raises ``TypeError`` for a view of
    Django REST framework as a whole, for which there is ``IdempotentMixin``.
    """
    protection = Protection(**options)
    if view is None:
        return lambda decorated: _decorated(protection, decorated)
    return _decorated(protection, view)


def _decorated(protection: Protection, view: Any) -> Any:
    if isinstance(view, type):
        return _decorated_class(protection, view)
    wrapper = _awaiting(protection, view) if callbacks.is_async(view) else _waiting(protection, view)
    setattr(wrapper, HANDLED, True)
    return wrapper


def _decorated_class(protection: Protection, view: Any) -> Any:
    if hasattr(view, "perform_authentication"):
        raise TypeError(f"{view.__name__} is a view of Django REST framework: let it inherit IdempotentMixin instead.")
    make = _awaiting if view.view_is_async else _waiting
    view.dispatch = make(protection, view.dispatch)
    setattr(view.dispatch, HANDLED, True)
    return view


def _waiting(protection: Protection, view: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> HttpResponseBase:
        found = protection.enter(_request(args))
        if found is None:
            response: HttpResponseBase = view(*args, **kwargs)
            return response
        if not isinstance(found, ProtectedCall):
            return found
        try:
            response = _not_awaitable(view(*args, **kwargs), view)
        except Exception:
            found.abandon()
            raise
        found.conclude(response)
        return response

    return wrapper


def _awaiting(protection: Protection, view: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(view)
    async def wrapper(*args: Any, **kwargs: Any) -> HttpResponseBase:
        request = _request(args)
        if protection.concerns(request):
            return await to_its_end(django_request(request), _executed(protection, request, view, args, kwargs))
        response: HttpResponseBase = await view(*args, **kwargs)
        return response

    return wrapper


async def _executed(protection: Protection, request: Any, view: Any, args: Any, kwargs: Any) -> HttpResponseBase:
    found = await protection.aenter(request)
    if not isinstance(found, ProtectedCall):
        return found or await view(*args, **kwargs)
    try:
        response: HttpResponseBase = await view(*args, **kwargs)
    except CancelledError:  # not for a client that has gone, but for a process that ends
        await found.acut_off()
        raise
    except Exception:
        await found.aabandon()
        raise
    await found.aconclude(response)
    return response


def _request(args: tuple[Any, ...]) -> Any:
    """Return the request among a view's arguments, which of a method is the second."""
    return next((argument for argument in args[:2] if hasattr(argument, "META")), args[0])


def _not_awaitable(response: Any, view: Callable[..., Any]) -> Any:
    if isawaitable(response):
        if hasattr(response, "close"):
            response.close()
        raise TypeError(
            f"{getattr(view, '__qualname__', view)} returns a coroutine and is not declared async: decorate the class, "
            "or its method that is."
        )
    return response
