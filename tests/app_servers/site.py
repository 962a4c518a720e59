"""A small site for app servers, whose answers tell whether replies were its own. The environment has its settings."""

from __future__ import annotations

import os
import sys
from typing import Any

import django
from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.urls import path

ALIAS = {name: os.environ[name] for name in ("URL", "TOKEN") if os.environ.get(name)}
settings.configure(
    ALLOWED_HOSTS=["*"],
    CACHES={
        "default": {
            "BACKEND": "django_upstash.cache.UpstashCache",
            "LOCATION": "default",
            "OPTIONS": {"ON_FAILURE": "local", "SIGN": False},
        }
    },
    INSTALLED_APPS=["django_upstash"],
    MIDDLEWARE=["django_upstash.sessions.middleware.SessionMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="x",
    SESSION_ENGINE="django_upstash.sessions",
    UPSTASH={
        "default": {
            **ALIAS,
            "TIMEOUT": float(os.environ.get("TIMEOUT", "10")),
            "MAX_CONNECTIONS": int(os.environ.get("MAX_CONNECTIONS", "10")),
            "POOL_TIMEOUT": float(os.environ.get("POOL_TIMEOUT", "10")),
        }
    },
    # Not the default, a quarter of a second, in which a busy machine may fail to answer.
    UPSTASH_RATELIMIT={"ON_FAILURE": "local", "TIMEOUT": float(os.environ.get("TIMEOUT", "10"))},
    UPSTASH_TENANTS={"FLUSH_COUNT": 7, "FLUSH_SECONDS": float(os.environ.get("FLUSH_SECONDS", "3600"))},
)
django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.cache import cache  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402

import django_upstash  # noqa: E402
from django_upstash.connections import connections  # noqa: E402
from django_upstash.contrib.asgi import flush_at_shutdown  # noqa: E402
from django_upstash.ratelimit import FixedWindow, RateLimiter  # noqa: E402
from django_upstash.tenants import Tenant  # noqa: E402
from tests.app_servers import visits  # noqa: E402

limiter = RateLimiter(FixedWindow("1000/h", scope="site"), statistics=True)


def check(request: HttpRequest) -> JsonResponse:
    """Write, read and count under names of this request's own, ten times; tell how often it came out otherwise."""
    wrong = 0
    for turn in range(10):
        key = f"{request.GET['name']}-{turn}"
        cache.set(key, turn)
        wrong += cache.get(key) != turn
        wrong += cache.incr(key) != turn + 1
    return JsonResponse({"wrong": wrong, "pid": os.getpid()})


def use(request: HttpRequest) -> JsonResponse:
    """Count one use."""
    Tenant("acme").usage.add("requests")
    limiter.hit("somebody")
    return JsonResponse({"pid": os.getpid()})


def state(request: HttpRequest) -> JsonResponse:
    """Tell whether this process takes the server for up, having asked something of it."""
    cache.get("state")
    connection = connections["default"]
    return JsonResponse({"is_up": connection.availability.is_up, "pid": os.getpid()})


def visit(request: HttpRequest) -> JsonResponse:
    """Tell what a visit has found that is not its visitor's own."""
    return JsonResponse(visits.visit(request.GET["name"], int(request.GET["turn"]), request.session))


async def avisit(request: HttpRequest) -> JsonResponse:
    """Tell the same, awaited."""
    return JsonResponse(await visits.avisit(request.GET["name"], int(request.GET["turn"]), request.session))


def handler500(request: HttpRequest) -> JsonResponse:
    """Tell which error a view, or the session's middleware, has raised."""
    error = sys.exc_info()[1]
    return JsonResponse({"error": type(error).__name__, "text": str(error), "pid": os.getpid()}, status=500)


urlpatterns: list[Any] = [path(view.__name__, view) for view in (check, use, state, visit, avisit)]

at_import = os.environ.get("AT_IMPORT", "")
if at_import == "verify":
    django_upstash.verify()
    _ = Tenant("acme").usage.meter
elif at_import == "route":
    made = connections["default"].route  # and not used
elif at_import == "outage":
    cache.get("away")  # fails, for nothing answers
    connections["default"].availability.pause = 0.0
    connections["default"].availability.may_ask()  # a probe sets out, and is under way at the fork

wsgi = get_wsgi_application()
asgi = flush_at_shutdown(get_asgi_application())
