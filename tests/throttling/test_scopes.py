"""The system check of scopes that are counted in two ways."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views import View

from django_upstash.ratelimit import Concurrency, FixedWindow, SlidingWindow, TokenBucket
from django_upstash.ratelimit.web import ratelimit
from django_upstash.throttling import PolicyThrottle
from tests.throttling.conftest import Answering

urlpatterns: list[Any] = []


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


class Page(View):
    pass


def throttled(*policies: Any) -> Any:
    throttle = type("Throttle", (PolicyThrottle,), {"scope": "login", "policies": policies})
    view: Any = type("Throttled", (Answering,), {"throttle_classes": [throttle]})
    return view.as_view()


def found(settings: Any, *views: Any) -> list[str]:
    """Return what the checks say of a site with these views."""
    settings.ROOT_URLCONF = __name__
    first, *others = [path(f"{number}/", view) for number, view in enumerate(views)]
    urlpatterns[:] = [first, path("more/", include(others))]
    return [str(message.msg) for message in run_checks(tags=["django_upstash"]) if str(message.id).endswith("E213")]


@pytest.mark.parametrize(
    "other",
    [
        ratelimit("100/day", scope="login")(page),
        ratelimit(TokenBucket("5/min", scope="login"))(page),
        ratelimit(FixedWindow("5/min", scope="login"))(Page).as_view(),
        ratelimit("7/h", scope="other")(ratelimit(Concurrency(5, scope="login"))(page)),
        throttled(SlidingWindow("5/h", scope="login")),
    ],
)
def test_scope__that_is_counted_in_two_ways(other: Any, settings: Any) -> None:
    (text,) = found(settings, ratelimit("5/min", scope="login")(page), other)
    assert text.startswith(f"The scope 'login' is counted in 2 ways, in {__name__}.page")


@pytest.mark.parametrize(
    "other",
    [
        page,
        ratelimit("9/m", scope="login")(page),
        ratelimit("100/day", scope="another")(page),
        ratelimit("100/day", scope="login", alias="rest")(page),
        ratelimit("100/day", scope="login", tenant="other")(page),
        throttled("9/h", "5/min"),
    ],
)
def test_scope__that_is_counted_in_one(other: Any, settings: Any) -> None:
    assert found(settings, ratelimit("5/min", scope="login")(page), other) == []
