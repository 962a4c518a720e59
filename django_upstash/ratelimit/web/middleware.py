"""Limits of a whole site."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar

from asgiref.sync import iscoroutinefunction, markcoroutinefunction

from django_upstash.ratelimit.policies import Policy, default_policy
from django_upstash.ratelimit.settings import ratelimit_settings
from django_upstash.ratelimit.web.request_limit import decisions_about, named_policies
from django_upstash.ratelimit.web.responses import write_fields
from django_upstash.ratelimit.web.view_limit import Guard, Terms

SCOPE = "site"


class RateLimitMiddleware:
    """
    Limits every request by ``POLICIES`` of ``UPSTASH_RATELIMIT``, or by its ``REQUESTS_PER_MINUTE``.

    It counts by ``IDENTITY`` and passes over paths in ``EXEMPT_PATHS``. Its place is after the middleware that knows
    the user, where it shall count by users. What decorators and throttles decide about the request is told in the same
    fields, on error pages too. A subclass may set ``terms``.
    """

    sync_capable = async_capable = True
    terms: ClassVar[Terms | None] = None

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        if self.is_async:
            return self.__acall__(request)
        guard = self._guard(request)
        response = self.get_response(request) if guard is None else guard.respond(request, lambda: self._next(request))
        write_fields(response, decisions_about(request))
        return response

    async def __acall__(self, request: Any) -> Any:
        guard = self._guard(request)
        if guard is None:
            response = await self.get_response(request)
        else:
            response = await guard.arespond(request, lambda: self._next(request))
        write_fields(response, decisions_about(request))
        return response

    def _next(self, request: Any) -> Any:
        return self.get_response(request)

    def _guard(self, request: Any) -> Guard | None:
        settings = ratelimit_settings()
        if settings.exempt_paths and request.path_info.startswith(settings.exempt_paths):
            return None
        policies: tuple[Any, ...] = settings.policies or tuple(filter(None, [default_policy()]))
        if not policies:
            return None
        guard = _make_guard(policies, self.terms or Terms(identity=settings.identity))
        return guard if guard.concerns(request) else None


@lru_cache(maxsize=16)
def _make_guard(policies: tuple[str | Policy, ...], terms: Terms) -> Guard:
    return Guard(named_policies(policies, SCOPE), terms)
