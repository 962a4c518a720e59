"""Idempotency keys for all views of a site."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from django_upstash.idempotency.decorators import HANDLED
from django_upstash.idempotency.protection import Attempt, Protection

_ATTEMPT = "_upstash_idempotency"


class IdempotencyMiddleware:
    """
    Executes requests with an ``Idempotency-Key`` once. It stands below ``AuthenticationMiddleware``.

    It looks a key up when the view is known and the middleware above it has let the request through. Views that have
    ``@idempotent`` are left to that. So are those of Django REST framework, which authenticates within the view: they
    inherit ``IdempotentMixin``.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.protection = Protection()
        self.is_async = iscoroutinefunction(get_response)
        self.process_view: Callable[..., Any] = self._look_up
        if self.is_async:
            markcoroutinefunction(self)
            self.process_view = self._alook_up

    def __call__(self, request: HttpRequest) -> Any:
        if self.is_async:
            return self.__acall__(request)
        response = self.get_response(request)
        attempt = vars(request).pop(_ATTEMPT, None)
        if attempt is not None:
            attempt.conclude(response)
        return response

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        try:
            response: HttpResponseBase = await self.get_response(request)
        except CancelledError:  # the client has gone; all other errors are responses by now
            attempt = vars(request).pop(_ATTEMPT, None)
            # A view in a thread goes on, and nobody else is to begin meanwhile.
            if attempt is not None and iscoroutinefunction(request.resolver_match.func):  # type: ignore[union-attr]
                await attempt.aabandon()
            raise
        attempt = vars(request).pop(_ATTEMPT, None)
        if attempt is not None:
            await attempt.aconclude(response)
        return response

    def _look_up(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        return None if _is_handled(view) else _remembering(request, self.protection.enter(request))

    async def _alook_up(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        return None if _is_handled(view) else _remembering(request, await self.protection.aenter(request))


def _is_handled(view: Any) -> bool:
    return getattr(view, HANDLED, False) or hasattr(getattr(view, "cls", None), "perform_authentication")


def _remembering(request: HttpRequest, found: Attempt | HttpResponseBase | None) -> HttpResponseBase | None:
    if isinstance(found, Attempt):
        setattr(request, _ATTEMPT, found)
        return None
    return found
