"""Django's own ways of caching what a site shows, on either of the site's caches: a whole page, and a part of one."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.timezone import now
from django.views.decorators.cache import cache_page
from django.views.decorators.http import require_safe

LIFETIME = 60  # seconds

View = Callable[[HttpRequest, str], HttpResponse]


def _on_a_cache_of_the_site(view: View) -> View:
    @wraps(view)
    def checked(request: HttpRequest, alias: str) -> HttpResponse:
        if alias not in settings.CACHES:
            raise Http404(f"The site has no cache {alias!r}.")
        return view(request, alias)

    return checked


@require_safe
@_on_a_cache_of_the_site
def page(request: HttpRequest, alias: str) -> HttpResponse:
    """Show when this page was made; the cache keeps all of it."""
    return cache_page(LIFETIME, cache=alias)(_made_now)(request, alias, "page")


@require_safe
@_on_a_cache_of_the_site
def fragment(request: HttpRequest, alias: str) -> HttpResponse:
    """Show when this page was made, and when a part of it was that the cache keeps."""
    return _made_now(request, alias, "fragment")


def _made_now(request: HttpRequest, alias: str, kept: str) -> HttpResponse:
    seen = {"alias": alias, "kept": kept, "lifetime": LIFETIME, "made": now(), "aliases": list(settings.CACHES)}
    return render(request, "pages/cached.html", seen)
