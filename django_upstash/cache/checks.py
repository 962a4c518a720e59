"""System checks of the caches on this package. They open no connection and import no client library."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib.util import find_spec
from itertools import combinations
from pickle import HIGHEST_PROTOCOL
from typing import Any

from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured

from django_upstash.cache import settings as cache_options
from django_upstash.diagnostics import state
from django_upstash.settings import cache_location, conf
from django_upstash.settings.checks import AppConfigs, error, exposures, query_without_effect, warning
from django_upstash.settings.conf import ConnectionSettings
from django_upstash.settings.key_prefix import PREFIX_SETTING
from django_upstash.settings.rules import Mistake

_FLAGS = frozenset({"SIGN", "TAGS", "IGNORE_EXCEPTIONS", "CLOSE_CONNECTION", "REPLICA_READ_ONLY"})
_DOTTED_PATHS = frozenset({"SERIALIZER", "COMPRESSOR"})
_OTHER_OPTIONS = frozenset({"CLIENT_CLASS", "CULL_FREQUENCY", "MAX_ENTRIES", "PICKLE_VERSION"})
# django-redis' options for a connection pool that does not exist here.
_WITHOUT_EFFECT = frozenset({"CONNECTION_POOL_CLASS", "PARSER_CLASS", "REDIS_CLIENT_CLASS", "REDIS_CLIENT_KWARGS"})
_OPTIONS = _FLAGS | _DOTTED_PATHS | _OTHER_OPTIONS | cache_location.CONNECTION_OPTIONS | cache_options.NAMES

Entry = Mapping[str, Any]


def check_caches(app_configs: AppConfigs = None, **kwargs: Any) -> list[CheckMessage]:
    """Check every cache whose backend is this package's."""
    if any(conf.setting_mistakes()):
        return []
    found: list[CheckMessage] = []
    for alias, entry in conf.caches().items():
        found += map(error, _cache_mistakes(alias, entry))
        location = cache_location.single(entry.get("LOCATION"))
        found += map(warning, query_without_effect(location, f'CACHES[{alias!r}]["LOCATION"]'))
        found += map(warning, _options_without_effect(alias, entry))
        if isinstance(entry.get("OPTIONS", {}), Mapping):
            found += map(warning, cache_options.old_words(entry.get("OPTIONS", {}), f"CACHES[{alias!r}]"))
    found += map(warning, _overlaps())
    return found


def check_cache_deployment(app_configs: AppConfigs = None, **kwargs: Any) -> list[CheckMessage]:
    """Check what is a risk in production alone: run by ``check --deploy``."""
    if any(conf.setting_mistakes()):
        return []
    found: list[CheckMessage] = []
    for alias, entry in conf.caches().items():
        found += map(warning, _cache_exposures(alias, entry))
        found += map(warning, _state_beside(alias, entry))
    return found


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
        yield Mistake("W002", text, "Leave it out; the table of settings lists what can be set.")
    for name in cache_location.overruled_options(entry.get("LOCATION"), options):
        text = f"{where}[{name!r}] has no effect beside the name of a connection."
        yield Mistake("W002", text, cache_location.IN_UPSTASH)


def _option_hint(name: object) -> str:
    if name == "TIMEOUT":
        return "The lifetime of values is TIMEOUT, next to OPTIONS; the time an operation may take is SOCKET_TIMEOUT."
    match = get_close_matches(str(name).upper(), _OPTIONS, n=1) if name not in _WITHOUT_EFFECT else []
    return f"Did you mean {match[0]}?" if match else "Leave it out."


def _overlaps() -> Iterator[Mistake]:
    on_servers = [(alias, entry, _settings_of(entry)) for alias, entry in conf.caches().items()]
    for (alias, entry, settings), (other, other_entry, other_settings) in combinations(on_servers, 2):
        if settings is None or other_settings is None or state.database(settings) != state.database(other_settings):
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


def _state_beside(alias: str, entry: Entry) -> Iterator[Mistake]:
    """Yield what a database that evicts, as a cache may want, would take with the cache's keys."""
    settings = _settings_of(entry)
    if settings is None or settings.route == "embedded":
        return
    beside = list(state.holders_on(settings))
    if beside:
        features = " and ".join(dict.fromkeys(holder.feature for holder in beside))
        text = f"CACHES[{alias!r}] shares a database with {features}: if it evicts, they go without a word."
        places = ", ".join(dict.fromkeys(holder.place.setting for holder in beside))
        hint = f"Give UPSTASH a second database and name it as {places}; or keep eviction off, and silence this."
        yield Mistake("W009", text, hint)


def _cache_exposures(alias: str, entry: Entry) -> Iterator[Mistake]:
    settings = _settings_of(entry)
    if settings is None:
        return
    where = f"CACHES[{alias!r}]"
    if cache_location.is_url(cache_location.single(entry.get("LOCATION"))):
        yield from exposures(settings, where)
    if settings.route == "embedded":
        return
    is_apart = entry.get("KEY_PREFIX") or entry.get("KEY_FUNCTION") or conf.setting(PREFIX_SETTING, "")
    if not is_apart:
        hint = 'Upstash has one database: what other projects keep in it is kept apart by "KEY_PREFIX" alone.'
        yield Mistake("W005", f"{where} has no KEY_PREFIX.", hint)
    options = entry.get("OPTIONS") or {}
    if options.get("SIGN") is False and "pickle" in str(options.get("SERIALIZER", "pickle")).lower():
        hint = (
            "Whoever can write to the database can run code here: leave SIGN out, or use a JSON or msgpack serializer."
        )
        yield Mistake("W003", f"{where} loads pickles that are not signed (SIGN is False).", hint)
