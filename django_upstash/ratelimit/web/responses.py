"""
Headers and bodies for the client, from decisions that have been made: they cost no further command.

``RateLimit`` and ``RateLimit-Policy`` are those of draft-ietf-httpapi-ratelimit-headers-11, structured fields; the body
of a refusal is a problem (RFC 9457).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from math import ceil
from typing import Any
from urllib.parse import quote

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase

from django_upstash.ratelimit.decisions import Decision, Outcome, Reason
from django_upstash.ratelimit.settings import ratelimit_settings

TOO_MANY_REQUESTS = 429
SERVICE_UNAVAILABLE = 503
_TYPES = "https://iana.org/assignments/http-problem-types"
_LARGEST = 999_999_999_999_999  # of an integer in a structured field
_PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
_STATUSES: dict[type[Exception], int] = {PermissionDenied: 403, Http404: 404, BadRequest: 400, SuspiciousOperation: 400}
_PROBLEMS = {
    Reason.LIMITED: (f"{_TYPES}#quota-exceeded", "Too many requests: the quota has been used up."),
    Reason.COST_ABOVE_LIMIT: (f"{_TYPES}#quota-exceeded", "The request costs more than the quota holds."),
    Reason.UNAVAILABLE: (f"{_TYPES}#temporary-reduced-capacity", "Requests cannot be counted at this time."),
    Reason.CONGESTED: (f"{_TYPES}#temporary-reduced-capacity", "The server is too busy to count this request."),
    Reason.BLOCKED: ("about:blank", "Too Many Requests"),
}


def write_fields(response: Any, decisions: Sequence[Decision]) -> None:
    """Write the rate-limit header fields of these decisions; the last decision per scope wins."""
    counted = [decision for decision in decisions if decision.reason is not Reason.DISABLED]
    outcomes = list({outcome.scope: outcome for decision in counted for outcome in decision.outcomes}.values())
    # What a view returns by mistake is left for Django to complain about.
    if not outcomes or not isinstance(response, HttpResponseBase):
        return
    response.headers["RateLimit-Policy"] = ", ".join(map(_policy, outcomes))
    response.headers["RateLimit"] = ", ".join(_limits(outcomes))
    if ratelimit_settings().x_headers:
        deciding = Decision(True, Reason.LIMITED, 1, tuple(outcomes)).deciding
        response.headers["X-RateLimit-Limit"] = str(deciding.limit)
        response.headers["X-RateLimit-Remaining"] = str(deciding.remaining)
        response.headers["X-RateLimit-Reset"] = str(ceil(time.time() + deciding.reset_after))


def response_to(error: Exception) -> HttpResponse:
    """Return a response of the status that Django gives to what a view raises."""
    for kind, status in _STATUSES.items():
        if isinstance(error, kind):
            return HttpResponse(status=status)
    return HttpResponse(status=500)


def retry_after(decision: Decision) -> int | None:
    """Return the whole seconds after which a refused request may be sent again, or None where waiting does not help."""
    seconds = decision.retry_after
    return None if seconds is None else max(1, ceil(seconds))


def status(decision: Decision) -> int:
    """Return the status of a refusal: 503 where it is the site that has too much to do, not the client."""
    return SERVICE_UNAVAILABLE if decision.reason is Reason.CONGESTED else TOO_MANY_REQUESTS


def problem(decision: Decision) -> dict[str, Any]:
    """Return the members of the problem that a refusal is."""
    kind, title = _PROBLEMS.get(decision.reason, _PROBLEMS[Reason.LIMITED])
    found: dict[str, Any] = {"type": kind, "title": title, "status": status(decision)}
    if "#quota-exceeded" in kind:
        found["violated-policies"] = [policy.scope for policy in decision.violated]
    return found


def problem_response(request: Any, decision: Decision) -> HttpResponse:
    """Return the response that refuses: 429 or 503, ``Retry-After`` where waiting helps, and a body for programs."""
    body = json.dumps(problem(decision))
    return HttpResponse(body, status=status(decision), content_type="application/problem+json")


def write_retry_after(response: Any, decision: Decision) -> None:
    """Say when to come back, unless the response says so itself."""
    seconds = retry_after(decision)
    if seconds is not None and response.status_code in (TOO_MANY_REQUESTS, SERVICE_UNAVAILABLE):
        response.headers.setdefault("Retry-After", str(seconds))


def _policy(outcome: Outcome) -> str:
    policy = outcome.policy
    quota = f"{_name(policy.scope)};q={_integer(policy.limit)}"
    if policy.algorithm == "leases":
        return f'{quota};qu="concurrent-requests"'
    return f"{quota};w={_integer(policy.window)}"


def _limits(outcomes: Iterable[Outcome]) -> list[str]:
    is_refused = any(not outcome.allowed for outcome in outcomes)
    return [_limit(outcome, is_refused) for outcome in outcomes]


def _limit(outcome: Outcome, is_refused: bool) -> str:
    # Beside a refusal only what refuses says when, for Retry-After shall not be earlier than that.
    seconds = outcome.reset_after if not is_refused else None if outcome.allowed else outcome.retry_after
    left = f"{_name(outcome.scope)};r={_integer(outcome.remaining)}"
    return left if seconds is None else f"{left};t={_integer(ceil(seconds))}"


def _name(scope: str) -> str:
    """Return a structured field's string; what such a string cannot hold is percent-encoded."""
    text = quote(scope.encode("utf-8", "surrogatepass"), safe=_PRINTABLE)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _integer(number: int) -> int:
    return min(max(number, 0), _LARGEST)
