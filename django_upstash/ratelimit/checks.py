"""System checks of ``UPSTASH_RATELIMIT`` and of the scopes that views count by. They open no connection."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.core.checks import CheckMessage
from django.urls import get_resolver

from django_upstash.ratelimit.rates import parse_rate
from django_upstash.ratelimit.settings import SCHEMA, RateLimitSettings, ratelimit_settings
from django_upstash.settings import conf
from django_upstash.settings.admin import SCHEMA as ADMIN
from django_upstash.settings.admin import admin_settings
from django_upstash.settings.checks import AppConfigs, error, warning
from django_upstash.settings.rules import Mistake

MIDDLEWARE = "django_upstash.ratelimit.web.RateLimitMiddleware"
THROTTLING = "django_upstash.throttling"


def check_ratelimit(app_configs: AppConfigs = None, **kwargs: Any) -> list[CheckMessage]:
    """Check ``UPSTASH_RATELIMIT``, and the rates of Django REST framework where this package's throttles read them."""
    found = list(map(error, SCHEMA.mistakes(conf.setting(SCHEMA.name, {}))))
    if not found:
        found += map(warning, _ratelimit_warnings(ratelimit_settings()))
        found += map(error, _scopes_counted_twice())
    return [*found, *map(error, _throttle_rate_mistakes(conf.setting("REST_FRAMEWORK") or {}))]


def check_limiters(app_configs: AppConfigs = None, **kwargs: Any) -> list[CheckMessage]:
    """Check that what ``UPSTASH_ADMIN["LIMITERS"]`` names is there."""
    return [] if any(ADMIN.site_mistakes()) else list(map(error, _limiter_mistakes(admin_settings().limiters)))


def _limiter_mistakes(paths: Iterable[str]) -> Iterator[Mistake]:
    if paths:
        from django_upstash.ratelimit.report.limiters import load  # which imports a client, as what is named there does
    for path in paths:
        try:
            load(path)
        except (ImportError, TypeError) as cause:
            text = f'UPSTASH_ADMIN["LIMITERS"] has {path!r}, which cannot be used: {cause}'
            yield Mistake("E308", text, "Name a RateLimiter, a list of them, or a function that returns either.")


def _ratelimit_warnings(settings: RateLimitSettings) -> Iterator[Mistake]:
    if settings.burst_size is not None and settings.requests_per_minute is None:
        hint = "Set REQUESTS_PER_MINUTE, whose burst it is, or leave it out."
        yield Mistake("W201", 'UPSTASH_RATELIMIT["BURST_SIZE"] has no effect without REQUESTS_PER_MINUTE.', hint)
    if MIDDLEWARE in conf.setting("MIDDLEWARE") and not (settings.policies or settings.requests_per_minute):
        text = "RateLimitMiddleware limits nothing: UPSTASH_RATELIMIT names neither POLICIES nor REQUESTS_PER_MINUTE."
        yield Mistake("W202", text, 'Write "POLICIES": ["1000/day"], or leave the middleware out.')
    decides = "CLIENT_IP_HEADER" if settings.client_ip_header else "TRUSTED_PROXIES"
    if settings.num_proxies is not None and (settings.trusted_proxies or settings.client_ip_header):
        text = f'UPSTASH_RATELIMIT["NUM_PROXIES"] has no effect where {decides} is set.'
        yield Mistake("W203", text, "Leave one of the two out.")


def _scopes_counted_twice() -> Iterator[Mistake]:
    ways: dict[tuple[str, ...], dict[tuple[str, int], str]] = {}
    for view in _views():
        for server, policy in _policies(view):
            name = f"{view.__module__}.{view.__qualname__}"
            ways.setdefault((*server, policy.scope), {}).setdefault((policy.algorithm, policy.window), name)
    for (*_, scope), views in ways.items():
        if len(views) > 1:
            names = " and ".join(dict.fromkeys(views.values()))
            text = f"The scope {scope!r} is counted in {len(views)} ways, in {names}: it starts over at each change."
            yield Mistake("E213", text, "Give each a scope of its own; only the limit may differ.")


def _views() -> Iterator[Any]:
    try:
        resolver = get_resolver()
    except AttributeError:
        return  # the site has no URLs
    found = list(resolver.url_patterns)
    while found:
        pattern: Any = found.pop(0)
        if hasattr(pattern, "url_patterns"):
            found += pattern.url_patterns
        else:
            yield pattern.callback


def _policies(view: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the policies of a view's decorators and throttles, each after the server and the tenant it counts on."""
    for guard in getattr(view, "ratelimit_guards", ()):
        for policy in guard.policies:
            yield (guard.terms.alias, str(guard.terms.tenant)), policy
    for throttle in getattr(getattr(view, "cls", None), "throttle_classes", ()):
        for policy in getattr(throttle, "policies", ()):
            yield (throttle.alias, "default"), policy


def _throttle_rate_mistakes(given: Mapping[str, Any]) -> Iterator[Mistake]:
    classes = given.get("DEFAULT_THROTTLE_CLASSES") or ()
    # Classes of the site's own may be ours too: they are if something has imported ours by now.
    if THROTTLING not in sys.modules and not any(str(path).startswith(f"{THROTTLING}.") for path in classes):
        return
    for scope, rate in (given.get("DEFAULT_THROTTLE_RATES") or {}).items():
        try:
            if rate is not None:
                parse_rate(rate)
        except ValueError as error:
            where = f'REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"][{scope!r}]'
            yield Mistake("E212", f"{where}: {error}", 'Such as "60/min", "10/5m" or "1000/day".')
