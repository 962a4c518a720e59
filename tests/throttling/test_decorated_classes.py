"""The decorator on classes of views and on their methods."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views import View

from django_upstash.ratelimit.web import ratelimit

pytestmark = [pytest.mark.matrix, pytest.mark.usefixtures("upstash")]


class Plain(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


class Awaited(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


def test_class__is_decorated_directly(limit: Any, visit: Any, driver: str) -> None:
    base: Any = Plain if driver == "sync" else Awaited
    cls: Any = limit("1/h")(type("Mine", (base,), {}))
    assert [visit(cls.as_view()).status_code for _ in range(2)] == [200, 429]
    heir: Any = type("Heir", (cls,), {})
    found = visit(heir.as_view())
    assert (found.status_code, found.headers["RateLimit-Policy"]) == (200, f'"{__name__}.Heir";q=1;w=3600')


@pytest.mark.parametrize("name", ["dispatch", "get"])
def test_class__with_method_decorator(name: str, limit: Any, visit: Any, driver: str) -> None:
    base: Any = Plain if driver == "sync" else Awaited
    classes: list[Any] = [type(letter, (base,), {}) for letter in "AB"]
    first, second = (method_decorator(limit("1/h"), name=name)(cls) for cls in classes)
    assert [visit(first.as_view()).status_code for _ in range(2)] == [200, 429]
    # `dispatch` is the same function in both, and the limits are not.
    found = visit(second.as_view())
    assert (found.status_code, found.headers["RateLimit-Policy"]) == (200, f'"{__name__}.B.{name}";q=1;w=3600')


def test_method__is_decorated_as_a_function(visit: Any, driver: str, route: str) -> None:
    limited = ratelimit("1/h", scope="method", alias=route)

    class Sync(View):
        @limited
        def get(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse()

    class Async(View):
        @limited
        async def get(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse()

    view = (Sync if driver == "sync" else Async).as_view()
    assert [visit(view).status_code for _ in range(2)] == [200, 429]
