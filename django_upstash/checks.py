"""
System checks of ``UPSTASH`` and of the caches on it. They open no connection and import no client library.

Every id, what it means and what to do stands in docs/settings.md.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from itertools import combinations
from pickle import HIGHEST_PROTOCOL
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.urls import get_resolver

from django_upstash import breaker_options, cache_location, cache_options, conf, hosts, redis_arguments
from django_upstash.conf import ConnectionSettings, Mistake, RateLimitSettings
from django_upstash.rates import parse_rate

TAG = "django_upstash"
RATELIMIT_MIDDLEWARE = "django_upstash.ratelimit.web.RateLimitMiddleware"
THROTTLING = "django_upstash.throttling"
_FLAGS = frozenset({"SIGN", "TAGS", "IGNORE_EXCEPTIONS", "CLOSE_CONNECTION", "REPLICA_READ_ONLY"})
_DOTTED_PATHS = frozenset({"SERIALIZER", "COMPRESSOR"})
_OTHER_OPTIONS = frozenset({"CLIENT_CLASS", "CULL_FREQUENCY", "MAX_ENTRIES", "PICKLE_VERSION"})
# django-redis' options for a connection pool that does not exist here.
_WITHOUT_EFFECT = frozenset({"CONNECTION_POOL_CLASS", "PARSER_CLASS", "REDIS_CLIENT_CLASS", "REDIS_CLIENT_KWARGS"})
_OPTIONS = _FLAGS | _DOTTED_PATHS | _OTHER_OPTIONS | cache_location.CONNECTION_OPTIONS | cache_options.NAMES

AppConfigs = Sequence[AppConfig] | None
Entry = Mapping[str, Any]


def check_connections(app_configs: AppConfigs = None, **kwargs: Any) -> list[CheckMessage]:
    """Check every entry of ``UPSTASH``."""
    found = list(map(_error, conf.setting_mistakes()))
    if found:
        return found
    for alias, given in conf.entries().items():
        wrong = list(conf.mistakes(alias, given))
        found += map(_error, wrong)
        if not wrong:
            name = f'UPSTASH[{alias!r}]["URL"]'
            found += map(_warning, _query_without_effect(given["URL"], name))
    return found


def check_caches(app_configs: AppConfigs = None, **kwargs: Any) -> list[CheckMessage]:
    """Check every cache whose backend is this package's."""
    if any(conf.setting_mistakes()):
        return []
    found: list[CheckMessage] = []
    for alias, entry in conf.caches().items():
        found += map(_error, _cache_mistakes(alias, entry))
        location = cache_location.single(entry.get("LOCATION"))
        found += map(_warning, _query_without_effect(location, f'CACHES[{alias!r}]["LOCATION"]'))
        found += map(_warning, _options_without_effect(alias, entry))
    found += map(_warning, _overlaps())
    return found


def check_ratelimit(app_configs: AppConfigs = None, **kwargs: Any) -> list[CheckMessage]:
    """Check ``UPSTASH_RATELIMIT``, and the rates of Django REST framework where this package's throttles read them."""
    found = list(map(_error, conf.ratelimit_mistakes()))
    if not found:
        found += map(_warning, _ratelimit_warnings(conf.ratelimit_settings()))
        found += map(_error, _scopes_counted_twice())
    return [*found, *map(_error, _throttle_rate_mistakes(conf.rest_framework()))]


def check_breakers(app_configs: AppConfigs = None, **kwargs: Any) -> list[CheckMessage]:
    """Check ``UPSTASH_BREAKER``, and that the connections it names are there; a site without any is not wrong."""
    found = list(map(_error, breaker_options.mistakes(conf.breaker_setting())))
    if found or any(conf.setting_mistakes()) or not conf.aliases():
        return found
    return list(map(_error, breaker_options.alias_mistakes(conf.breaker_setting(), conf.aliases())))


def check_deployment(app_configs: AppConfigs = None, **kwargs: Any) -> list[CheckMessage]:
    """Check what is a risk in production alone: run by ``check --deploy``."""
    if any(conf.setting_mistakes()):
        return []
    found: list[CheckMessage] = []
    for alias, given in conf.entries().items():
        if not any(conf.mistakes(alias, given)):
            found += map(_warning, _exposures(conf.make_settings(alias, given), f"UPSTASH[{alias!r}]"))
    for alias, entry in conf.caches().items():
        found += map(_warning, _cache_exposures(alias, entry))
    return found


def _ratelimit_warnings(settings: RateLimitSettings) -> Iterator[Mistake]:
    if settings.burst_size is not None and settings.requests_per_minute is None:
        hint = "Set REQUESTS_PER_MINUTE, whose burst it is, or leave it out."
        yield Mistake("W201", 'UPSTASH_RATELIMIT["BURST_SIZE"] has no effect without REQUESTS_PER_MINUTE.', hint)
    if RATELIMIT_MIDDLEWARE in conf.middleware() and not (settings.policies or settings.requests_per_minute):
        text = "RateLimitMiddleware limits nothing: UPSTASH_RATELIMIT names neither POLICIES nor REQUESTS_PER_MINUTE."
        yield Mistake("W202", text, 'Write "POLICIES": ["1000/day"], or leave the middleware out.')
    if settings.num_proxies is not None and (settings.trusted_proxies or settings.trusts_unix):
        text = 'UPSTASH_RATELIMIT["NUM_PROXIES"] has no effect beside TRUSTED_PROXIES.'
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
            text = f"The scope {scope!r} is counted in {len(views)} ways, in {names}: it begins anew at each change."
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


def _error(mistake: Mistake) -> CheckMessage:
    return Error(mistake.text, hint=mistake.hint, id=f"{TAG}.{mistake.id}")


def _warning(mistake: Mistake) -> CheckMessage:
    return Warning(mistake.text, hint=mistake.hint, id=f"{TAG}.{mistake.id}")


def _query_without_effect(url: str, name: str) -> Iterator[Mistake]:
    for argument in redis_arguments.without_effect(redis_arguments.query(url.partition("?")[2])):
        # What is no name may be a piece of a password.
        shown = argument if re.fullmatch(r"[a-z_]{1,40}", argument) else "an argument"
        hint = "Leave it out; what can be set stands in the table of settings."
        yield Mistake("W001", f"{name} has {shown} in its query, which has no effect.", hint)


def _cache_mistakes(alias: str, entry: Entry) -> Iterator[Mistake]:
    where = f"CACHES[{alias!r}]"
    options = entry.get("OPTIONS", {})
    yield from conf.cache_location_mistakes(entry.get("LOCATION"), options, where)
    yield from _entry_mistakes(entry, where)
    if isinstance(options, Mapping):
        yield from _option_mistakes(options, where)


def _entry_mistakes(entry: Entry, where: str) -> Iterator[Mistake]:
    if not _is_lifetime(entry.get("TIMEOUT")):
        hint = "Django would take 300 instead, or never keep a value. None keeps values until they are evicted."
        yield Mistake("E045", f'{where}["TIMEOUT"] must be seconds, 0 or more, or None.', hint)
    if not isinstance(entry.get("KEY_PREFIX", ""), str):
        yield Mistake("E045", f'{where}["KEY_PREFIX"] must be text.', 'Write it in quotes, such as "shop".')
    version = entry.get("VERSION", 1)
    if not isinstance(version, int | str) or isinstance(version, bool):
        yield Mistake("E045", f'{where}["VERSION"] must be a whole number or text.', "Leave it out for 1.")
    for name in ("KEY_FUNCTION", "REVERSE_KEY_FUNCTION"):
        function = entry.get(name)
        if function is not None and not callable(function):
            yield from _path_mistakes(function, f'{where}["{name}"]')


def _is_lifetime(timeout: Any) -> bool:
    if timeout is None or (isinstance(timeout, str) and timeout.isdecimal()):
        return True
    return isinstance(timeout, int | float) and not isinstance(timeout, bool) and 0 <= timeout < math.inf


def _option_mistakes(options: Mapping[str, Any], where: str) -> Iterator[Mistake]:
    for name, value in options.items():
        shown = f'{where}["OPTIONS"]["{name}"]'
        if name in _FLAGS and not isinstance(value, bool):
            yield Mistake("E046", f"{shown} must be True or False.", "Write it without quotes.")
        elif name in _DOTTED_PATHS and not callable(value):
            yield from _path_mistakes(value, shown)
    yield from cache_options.mistakes(options, where)
    if str(options.get("PICKLE_VERSION", -1)) not in map(str, range(-1, HIGHEST_PROTOCOL + 1)):
        text = f'{where}["OPTIONS"]["PICKLE_VERSION"] must be a whole number from -1 to {HIGHEST_PROTOCOL}.'
        yield Mistake("E045", text, "Leave it out for the newest protocol.")


def _path_mistakes(path: object, name: str) -> Iterator[Mistake]:
    hint = 'Write the whole path of the class or function, such as "django_redis.serializers.json.JSONSerializer".'
    if not isinstance(path, str) or not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", path):
        yield Mistake("E047", f"{name} must be a dotted path.", hint)
    elif not _is_installed(path.partition(".")[0]):
        package = path.partition(".")[0]
        yield Mistake("E047", f"{name} is in {package}, which is not installed here.", f"Install it. {hint}")


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # `__main__` and other modules without a spec
        return True


def _options_without_effect(alias: str, entry: Entry) -> Iterator[Mistake]:
    options = entry.get("OPTIONS", {})
    if not isinstance(options, Mapping):
        return
    where = f'CACHES[{alias!r}]["OPTIONS"]'
    for name in options:
        if name not in _OPTIONS and name not in cache_location.REFUSED_OPTIONS:
            yield Mistake("W002", f"{where}[{name!r}] has no effect.", _option_hint(name))
    arguments = options.get(cache_location.POOL_ARGUMENTS)
    for argument in cache_location.arguments_without_effect(arguments):
        text = f'{where}["{cache_location.POOL_ARGUMENTS}"][{argument!r}] has no effect.'
        yield Mistake("W002", text, "Leave it out; what can be set stands in the table of settings.")
    for name in cache_location.overruled_options(entry.get("LOCATION"), options):
        text = f"{where}[{name!r}] has no effect beside the name of a connection."
        yield Mistake("W002", text, cache_location.IN_UPSTASH)


def _option_hint(name: object) -> str:
    if name == "TIMEOUT":
        return "The lifetime of values stands beside OPTIONS; the time an operation may take is SOCKET_TIMEOUT."
    match = get_close_matches(str(name).upper(), _OPTIONS, n=1) if name not in _WITHOUT_EFFECT else []
    return f"Did you mean {match[0]}?" if match else "Leave it out."


def _overlaps() -> Iterator[Mistake]:
    on_servers = [(alias, entry, _settings_of(entry)) for alias, entry in conf.caches().items()]
    for (alias, entry, settings), (other, other_entry, other_settings) in combinations(on_servers, 2):
        if settings is None or other_settings is None or _database(settings) != _database(other_settings):
            continue
        if _clears_other(entry, other_entry) or _clears_other(other_entry, entry):
            text = f"CACHES[{alias!r}] and CACHES[{other!r}] share a database and the beginning of their keys."
            hint = "clear() of one removes keys of the other: give each a KEY_PREFIX of its own."
            yield Mistake("W004", text, hint)


def _clears_other(entry: Entry, other: Entry) -> bool:
    """Tell whether the other's keys look like this one's: PREFIX:VERSION:KEY, where any version counts."""
    if entry.get("KEY_FUNCTION") or other.get("KEY_FUNCTION"):
        return False  # what a key begins with is for that function to say
    prefix, version = re.escape(str(entry.get("KEY_PREFIX", ""))), re.escape(str(entry.get("VERSION", 1)))
    beginning = f"{other.get('KEY_PREFIX', '')}:{other.get('VERSION', 1)}:"
    return re.match(rf"{prefix}:(-?\d+|{version}):", beginning) is not None


def _settings_of(entry: Entry) -> ConnectionSettings | None:
    try:
        return conf.cache_location_settings(entry.get("LOCATION"), entry.get("OPTIONS"))
    except ImproperlyConfigured:
        return None  # reported by itself


def _database(settings: ConnectionSettings) -> tuple[object, ...]:
    """Return what tells one database from another; both routes to an Upstash database lead to the same."""
    host = settings.parts.hostname
    if hosts.is_upstash(host):
        return (host,)
    return host, settings.parts.port or 6379, "" if host else settings.parts.path, settings.database


def _exposures(settings: ConnectionSettings, where: str) -> Iterator[Mistake]:
    if not settings.verify_tls and settings.scheme in ("rediss", "https"):
        hint = "Whoever sits in between can read and change everything. Put a private authority into CA_CERTS instead."
        yield Mistake("W006", f"{where} does not verify the server's certificate (VERIFY_TLS is False).", hint)
    if settings.scheme in ("redis", "http") and not hosts.is_private(settings.parts.hostname or ""):
        hint = "Password and data travel in the clear: write rediss:// or https://."
        yield Mistake("W007", f"{where} reaches a public host without TLS (ALLOW_PLAINTEXT is True).", hint)
    if settings.route == "embedded":
        hint = "It keeps its data on this machine, for the lifetime of this project's processes: name a server."
        yield Mistake("W008", f"{where} uses the embedded server, which is for development.", hint)


def _cache_exposures(alias: str, entry: Entry) -> Iterator[Mistake]:
    settings = _settings_of(entry)
    if settings is None:
        return
    where = f"CACHES[{alias!r}]"
    if cache_location.is_url(cache_location.single(entry.get("LOCATION"))):
        yield from _exposures(settings, where)
    if settings.route == "embedded":
        return
    if not entry.get("KEY_PREFIX") and not entry.get("KEY_FUNCTION"):
        hint = 'Upstash has one database: what other projects keep in it is kept apart by "KEY_PREFIX" alone.'
        yield Mistake("W005", f"{where} has no KEY_PREFIX.", hint)
    options = entry.get("OPTIONS") or {}
    if options.get("SIGN") is False and "pickle" in str(options.get("SERIALIZER", "pickle")).lower():
        hint = (
            "Whoever can write to the database can run code here: leave SIGN out, or use a JSON or msgpack serializer."
        )
        yield Mistake("W003", f"{where} loads pickles that are not signed (SIGN is False).", hint)
