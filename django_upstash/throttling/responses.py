"""What follows a decision: the fields of the response, places given back, charging after the fact, and problems."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import ceil
from typing import Any

from django.http import HttpResponse
from rest_framework.exceptions import APIException, Throttled
from rest_framework.views import exception_handler as rest_framework_handler

from django_upstash.ratelimit.decisions import Decision, Reason
from django_upstash.ratelimit.web.request_limit import Visit, decisions_about
from django_upstash.ratelimit.web.responses import SERVICE_UNAVAILABLE, problem_response, response_to
from django_upstash.ratelimit.web.view_limit import is_due


class Congested(APIException):  # type: ignore[misc]
    """The site has too much to do to count a request; ``wait`` is in seconds. Answered with 503."""

    status_code = SERVICE_UNAVAILABLE
    default_detail = "The server is too busy to count this request."
    default_code = "congested"

    def __init__(self, wait: float | None) -> None:
        super().__init__()
        self.wait = None if wait is None else ceil(wait)


Charged = tuple[Visit, Callable[[Any], bool] | None]


def refuse_congested(decisions: Iterable[Decision]) -> None:
    """Raise ``Congested`` for a refusal for want of a connection: Django REST framework's own answer is 429."""
    for decision in decisions:
        if not decision.allowed and decision.reason is Reason.CONGESTED:
            raise Congested(decision.retry_after)


def follow(view: Any, visits: Sequence[Charged]) -> None:
    """
    Have a view, which serves one request, conclude these visits with its response or with the error that it raises.

    Nothing else sees each response of a view on its way, and no middleware is needed.
    """
    if not hasattr(view, "finalize_response"):
        return
    finalize, handle = view.finalize_response, view.handle_exception

    def finalize_response(request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = finalize(request, response, *args, **kwargs)
        for visit, charge_when in visits:
            visit.finish(response, is_due(charge_when, response))
        return response

    def handle_exception(error: Exception) -> Any:
        try:
            return handle(error)
        except Exception as raised:
            _abandon(visits, raised)
            raise

    view.finalize_response, view.handle_exception = finalize_response, handle_exception


def _abandon(visits: Sequence[Charged], error: Exception) -> None:
    response = response_to(error)
    for visit, charge_when in visits:
        visit.abandon(is_due(charge_when, response))


def exception_handler(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """
    Answer a refusal with ``application/problem+json``, and everything else as Django REST framework does.

        REST_FRAMEWORK = {"EXCEPTION_HANDLER": "django_upstash.throttling.exception_handler"}
    """
    answer: HttpResponse | None = rest_framework_handler(error, context)
    refused = [decision for decision in decisions_about(context["request"]) if not decision.allowed]
    if answer is None or not refused or not isinstance(error, Throttled | Congested):
        return answer
    response = problem_response(context["request"], refused[-1])
    if error.wait:
        response.headers["Retry-After"] = str(error.wait)
    return response
