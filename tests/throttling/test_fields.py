"""What the client sees: fields on every response, and a body that programs can read."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.test import RequestFactory
from rest_framework.exceptions import PermissionDenied
from rest_framework.response import Response

from django_upstash.ratelimit import Concurrency, FixedWindow, RateLimiter, SlidingWindow, TokenBucket
from django_upstash.ratelimit.decisions import Decision, Outcome, Reason
from django_upstash.ratelimit.web import problem_response
from django_upstash.ratelimit.web.responses import problem, retry_after, write_fields
from django_upstash.throttling import PolicyThrottle, UserRateThrottle
from tests.throttling.conftest import serve

pytestmark = [pytest.mark.matrix, pytest.mark.usefixtures("on_route")]
ITEM = re.compile(r'"((?:[^"\\]|\\["\\])*)"((?:;[a-z]+=(?:\d+|"[^"]*"))*)')
HANDLER = "django_upstash.throttling.exception_handler"


class Twice(UserRateThrottle):
    scope = "twice"
    rate = "2/min"


class Daily(UserRateThrottle):
    scope = "daily"
    rate = "100/day"


def parsed(field: str) -> dict[str, dict[str, int | str]]:
    """Return the items of a structured field's list with their parameters; the text holds nothing else."""
    items = list(ITEM.finditer(field))
    assert ", ".join(item[0] for item in items) == field
    pairs = {item[1]: [part.split("=") for part in item[2].split(";")[1:]] for item in items}
    return {name: {key: json.loads(value) for key, value in given} for name, given in pairs.items()}


def decision(*outcomes: Outcome, allowed: bool = True, reason: Reason = Reason.WITHIN_LIMITS) -> Decision:
    return Decision(allowed, reason, 1, outcomes)


def fields(*decisions: Decision) -> dict[str, str]:
    response = Response()
    write_fields(response, decisions)
    return dict(response.headers)


def test_fields__of_a_response() -> None:
    headers = serve(Twice, Daily).headers
    assert headers["RateLimit-Policy"] == '"twice/60s";q=2;w=60, "daily/86400s";q=100;w=86400'
    limits = parsed(headers["RateLimit"])
    assert [limits[name]["r"] for name in ("twice/60s", "daily/86400s")] == [1, 99]
    assert 50 <= int(limits["twice/60s"]["t"]) <= 62
    assert "Retry-After" not in headers
    assert not any(name.startswith("X-RateLimit") for name in headers)


def test_fields__of_a_refusal() -> None:
    for _ in range(3):
        refused = serve(Twice, Daily)
    assert refused.status_code == 429
    limits = parsed(refused.headers["RateLimit"])
    assert (limits["twice/60s"]["r"], limits["daily/86400s"]) == (0, {"r": 98})
    assert int(refused.headers["Retry-After"]) >= int(limits["twice/60s"]["t"]) > 0


def test_fields__on_errors_too() -> None:
    def fail(self: Any, request: Any) -> Any:
        raise PermissionDenied

    refused = serve(Twice, get=fail)
    assert (refused.status_code, "RateLimit" in refused.headers) == (403, True)


def test_fields__none_where_nothing_is_limited(configure: Callable[..., None]) -> None:
    assert "RateLimit" not in serve().headers
    configure(ENABLED=False)
    assert [serve(Twice).status_code for _ in range(3)] == [200, 200, 200]
    assert "RateLimit" not in serve(Twice).headers


def test_x_headers__on_request(configure: Callable[..., None]) -> None:
    configure(X_HEADERS=True)
    headers = serve(Daily, Twice).headers
    assert (headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"]) == ("2", "1")
    assert 50 <= int(headers["X-RateLimit-Reset"]) - time.time() <= 63


def test_x_headers__of_what_refuses(configure: Callable[..., None]) -> None:
    configure(X_HEADERS=True)
    for _ in range(3):
        headers = serve(Daily, Twice).headers
    assert (headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"]) == ("2", "0")


def test_concurrency__has_its_own_unit() -> None:
    throttle = type("Mine", (PolicyThrottle,), {"policies": [Concurrency(3, scope="at once")]})
    assert serve(throttle).headers["RateLimit-Policy"] == '"at once";q=3;qu="concurrent-requests"'


@pytest.mark.parametrize(
    ("scope", "name"),
    [('a "b" \\c', 'a "b" \\c'), ("é漢", "%C3%A9%E6%BC%A2"), ("a\r\nSet-Cookie: b=1", "a%0D%0ASet-Cookie: b=1")],
)
def test_names__are_structured_strings(scope: str, name: str) -> None:
    told = fields(decision(Outcome(SlidingWindow("2/min", scope=scope), True, 1, 0.0, 59.2)))
    (found,) = parsed(told["RateLimit"])
    assert found.replace('\\"', '"').replace("\\\\", "\\") == name
    assert parsed(told["RateLimit"])[found] == {"r": 1, "t": 60}
    assert list(parsed(told["RateLimit-Policy"])) == [found]


def test_numbers__stay_integers_of_structured_fields() -> None:
    policy = TokenBucket("1/h", burst=100_000_000)
    told = fields(decision(Outcome(policy, True, 100_000_000, 0.0, 3.6e17)))
    assert parsed(told["RateLimit"])["default"]["t"] == 999_999_999_999_999


def test_scope__that_is_decided_twice_is_told_once() -> None:
    policy = FixedWindow("2/min", scope="page")
    first, last = (decision(Outcome(policy, True, left, 0.0, 9.0)) for left in (1, 0))
    assert fields(first, last)["RateLimit"] == '"page";r=0;t=9'


def test_retry_after__is_whole_and_never_early() -> None:
    policy = SlidingWindow("2/min")

    def refusal(wait: float | None) -> Decision:
        return decision(Outcome(policy, False, 0, wait, 60.0), allowed=False, reason=Reason.LIMITED)

    assert [retry_after(refusal(wait)) for wait in (0.0, 0.001, 1.0, 1.001, None)] == [1, 1, 1, 2, None]
    assert "t=" not in fields(refusal(None))["RateLimit"]


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (Reason.LIMITED, "https://iana.org/assignments/http-problem-types#quota-exceeded"),
        (Reason.COST_ABOVE_LIMIT, "https://iana.org/assignments/http-problem-types#quota-exceeded"),
        (Reason.UNAVAILABLE, "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"),
        (Reason.BLOCKED, "about:blank"),
    ],
)
def test_problem__says_what_refuses(reason: Reason, kind: str) -> None:
    outcomes = [Outcome(SlidingWindow("2/min", scope=scope), scope == "b", 0, 1.0, 1.0) for scope in "ab"]
    found = problem(decision(*outcomes, allowed=False, reason=reason))
    assert (found["type"], found["status"]) == (kind, 429)
    assert found.get("violated-policies", ["a"]) == ["a"]
    assert ("violated-policies" in found) == kind.endswith("exceeded")


def test_problem_response__is_one() -> None:
    refused = decision(
        Outcome(SlidingWindow("2/min", scope="a"), False, 0, 1.0, 1.0), allowed=False, reason=Reason.LIMITED
    )
    response = problem_response(RequestFactory().get("/"), refused)
    assert (response.status_code, response.headers["Content-Type"]) == (429, "application/problem+json")
    assert json.loads(response.content)["violated-policies"] == ["a"]


def test_exception_handler__answers_refusals_with_problems(settings: Any) -> None:
    settings.REST_FRAMEWORK = {"EXCEPTION_HANDLER": HANDLER, "UNAUTHENTICATED_USER": None}
    for _ in range(3):
        refused = serve(Twice, Daily)
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert json.loads(refused.content)["violated-policies"] == ["twice/60s"]
    assert int(refused.headers["Retry-After"]) >= int(parsed(refused.headers["RateLimit"])["twice/60s"]["t"])


def test_exception_handler__leaves_the_rest_to_rest_framework(settings: Any) -> None:
    settings.REST_FRAMEWORK = {"EXCEPTION_HANDLER": HANDLER, "UNAUTHENTICATED_USER": None}

    def fail(self: Any, request: Any) -> Any:
        raise PermissionDenied

    assert serve(Twice, get=fail).headers["Content-Type"] == "application/json"


def test_renderer__of_rest_framework_by_default() -> None:
    for _ in range(3):
        refused = serve(Twice)
    assert refused.headers["Content-Type"] == "application/json"
    assert json.loads(refused.content)["detail"].startswith("Request was throttled.")


def test_block__is_a_refusal_without_a_quota(route: str) -> None:
    limiter = RateLimiter(SlidingWindow("2/min", scope="twice/60s"), alias=route)
    limiter.block("203.0.113.0/24")
    refused = serve(Twice)
    assert (refused.status_code, "Retry-After" in refused.headers) == (429, False)
    limiter.unblock("203.0.113.0/24")
    limiter.peek("203.0.113.7")
    assert serve(Twice).status_code == 200
