"""Idempotency keys for views of Django REST framework."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http.response import HttpResponseBase

from django_upstash.idempotency.protection import ProtectedCall, Protection


class IdempotentMixin:
    """
    Executes requests with an ``Idempotency-Key`` once; put it before the view's other bases.

        class Orders(IdempotentMixin, ModelViewSet):
            idempotency = Protection(required=True)

    A key is looked up after authentication, permissions and throttles. What the handler raises and the framework turns
    into a response is stored as that.
    """

    idempotency: ClassVar[Protection] = Protection()
    _attempt: ProtectedCall | None = None
    _answer: HttpResponseBase | None = None

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        parent: Any = super()
        parent.initial(request, *args, **kwargs)
        found = self.idempotency.enter(request)
        if isinstance(found, ProtectedCall):
            self._attempt = found
        elif found is not None:
            self._answer = found
            raise _Answered

    def handle_exception(self, exc: Exception) -> HttpResponseBase:
        if isinstance(exc, _Answered) and self._answer is not None:
            return self._answer
        parent: Any = super()
        try:
            response: HttpResponseBase = parent.handle_exception(exc)
        except Exception:
            if self._attempt is not None:
                self._attempt.abandon()
            raise
        return response

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if self._answer is not None and response is self._answer:
            return self._answer  # it has the headers of the first time
        parent: Any = super()
        try:
            finalized: HttpResponseBase = parent.finalize_response(request, response, *args, **kwargs)
        except Exception:
            if self._attempt is not None:
                self._attempt.abandon()
            raise
        if self._attempt is not None:
            self._attempt.conclude(finalized)
        return finalized


class _Answered(Exception):
    """The handler is not called: the response is known."""
