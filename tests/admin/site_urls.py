"""The example site's URLs, and a limited API beside them."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from django_upstash.ratelimit import RateLimiter
from example_project.urls import urlpatterns as example_urls
from tests.admin.site_limiters import LOGIN, POLICIES

LIMITERS = {alias: RateLimiter(POLICIES, alias=alias) for alias in ("default", "rest")}
LOGINS = RateLimiter(LOGIN)


def limited(request: HttpRequest, alias: str, who: str) -> JsonResponse:
    decision = LIMITERS[alias].hit(who)
    return JsonResponse({"reason": decision.reason}, status=200 if decision.allowed else 429)


urlpatterns = [
    path("favicon.ico", lambda request: HttpResponse(status=204)),  # which browsers ask for, and the admin names none
    path("limited/<alias>/<who>/", limited),
    *example_urls,
]
