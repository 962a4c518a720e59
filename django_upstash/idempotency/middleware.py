"""Idempotency keys for all views of a site."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import Resolver404, resolve

from django_upstash.idempotency.decorators import HANDLED
from django_upstash.idempotency.endings import to_its_end
from django_upstash.idempotency.protection import ProtectedCall, Protection

__all__ = ["IdempotencyMiddleware"]

_ATTEMPT = "_upstash_idempotency"


class IdempotencyMiddleware:
    """
    Executes requests with an ``Idempotency-Key`` once. It goes below ``AuthenticationMiddleware``.

    It looks a key up before the middleware below it is called, which so sees each operation once, and stores what that
    has made of the response. Views that have ``@idempotent`` are left to that. So are those of Django REST framework,
    which authenticates within the view: they inherit ``IdempotentMixin``. What is answered before a view is called,
    such as a redirect to the page for logging in, is not stored.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.protection = Protection()
        self.is_async = iscoroutinefunction(get_response)
        self.process_view: Callable[..., Any] = self._confirm
        if self.is_async:
            markcoroutinefunction(self)
            self.process_view = self._aconfirm

    def __call__(self, request: HttpRequest) -> Any:
        if self.is_async:
            return self.__acall__(request)
        if not self.protection.concerns(request):
            return self.get_response(request)
        found = self.protection.enter(request) if _is_ours(_view_of(request)) else None
        return found if isinstance(found, HttpResponseBase) else self._concluded(request, _AskedRequest(found))

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        if not self.protection.concerns(request):
            response: HttpResponseBase = await self.get_response(request)
            return response
        if _is_ours(_view_of(request)):
            return await to_its_end(request, self._executed(request))
        return await self._aconcluded(request, _AskedRequest(None))

    def _concluded(self, request: HttpRequest, asked: _AskedRequest) -> HttpResponseBase:
        setattr(request, _ATTEMPT, asked)
        response: HttpResponseBase = self.get_response(request)
        if asked.attempt is not None:
            if asked.is_reached:
                asked.attempt.conclude(response)
            else:
                asked.attempt.abandon()
        return asked.answer or response

    async def _executed(self, request: HttpRequest) -> HttpResponseBase:
        found = await self.protection.aenter(request)
        return found if isinstance(found, HttpResponseBase) else await self._aconcluded(request, _AskedRequest(found))

    async def _aconcluded(self, request: HttpRequest, asked: _AskedRequest) -> HttpResponseBase:
        setattr(request, _ATTEMPT, asked)
        try:
            response: HttpResponseBase = await self.get_response(request)
        except CancelledError:  # all other errors are responses by now
            if asked.attempt is not None:
                await asked.attempt.acut_off()
            raise
        if asked.attempt is not None:
            await (asked.attempt.aconclude(response) if asked.is_reached else asked.attempt.aabandon())
        return asked.answer or response

    def _confirm(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        """Note that the view is called, or see to it that one which is another than it seemed is protected, too."""
        asked: _AskedRequest | None = vars(request).get(_ATTEMPT)
        if asked is None or not asked.differs(view):
            return None
        if asked.attempt is None:
            return asked.found(self.protection.enter(request))
        asked.given_back().abandon()
        return None

    async def _aconfirm(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        asked: _AskedRequest | None = vars(request).get(_ATTEMPT)
        if asked is None or not asked.differs(view):
            return None
        if asked.attempt is None:
            return asked.found(await self.protection.aenter(request))
        await asked.given_back().aabandon()
        return None


class _AskedRequest:
    """What is known of a request between the middleware and the view."""

    def __init__(self, attempt: ProtectedCall | None) -> None:
        self.attempt = attempt
        self.is_reached = False
        self.answer: HttpResponseBase | None = None  # sent in place of what the middleware below has made of it

    def differs(self, view: Any) -> bool:
        """Note that a view is reached; tell whether it is of another kind than the one that was looked up for."""
        self.is_reached = True
        return _is_ours(view) is (self.attempt is None)

    def found(self, found: ProtectedCall | HttpResponseBase | None) -> HttpResponseBase | None:
        """Take what was found once the view was known. The response that is returned passes through others."""
        if isinstance(found, ProtectedCall):
            self.attempt = found
            return None
        self.answer = deepcopy(found)
        return found

    def given_back(self) -> ProtectedCall:
        """Return the attempt, which leaves the middleware's hands."""
        attempt, self.attempt = self.attempt, None
        if attempt is None:
            raise RuntimeError("There is no attempt to be given back.")
        attempt.left()
        return attempt


def _view_of(request: HttpRequest) -> Any:
    """Return the view that the URL leads to, as far as that is known here; None where it leads to none."""
    try:
        return resolve(request.path_info, getattr(request, "urlconf", None)).func
    except Resolver404:
        return None


def _is_ours(view: Any) -> bool:
    is_frameworks = hasattr(getattr(view, "cls", None), "perform_authentication")
    return view is not None and not getattr(view, HANDLED, False) and not is_frameworks
