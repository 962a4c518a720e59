"""
What ``LOCATION`` and ``OPTIONS`` of a cache say about its connection. Pure: reads no settings, opens no connection.

django-redis' names are understood, so that its settings go on working; what would change which server is reached, as
whom, or how safely, and is not understood, is a mistake rather than ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django_upstash.settings import hosts, redis_arguments
from django_upstash.settings.rules import Mistake
from django_upstash.settings.validation import RULES, Namer

POOL_ARGUMENTS = "CONNECTION_POOL_KWARGS"
# django-redis' options, as they are called in `UPSTASH`. TIMEOUT among the options would be read as a cache's lifetime.
_DJANGO_REDIS_KEYS = {"SOCKET_TIMEOUT": "TIMEOUT", "SOCKET_CONNECT_TIMEOUT": "CONNECT_TIMEOUT"}
CONNECTION_KEYS = frozenset(RULES) - {"URL", "TIMEOUT", "SOURCE"}
CONNECTION_OPTIONS = CONNECTION_KEYS | frozenset(_DJANGO_REDIS_KEYS) | {POOL_ARGUMENTS}
_IDENTITY = frozenset({"TOKEN", "USERNAME", "PASSWORD", "CA_CERTS", "VERIFY_TLS"})
REFUSED_OPTIONS = frozenset({"SENTINELS", "SENTINEL_KWARGS", "CONNECTION_FACTORY"})
# What most settings for django-redis name, and what our own client replaces.
DEFAULT_CLIENTS = frozenset({"django_redis.client.DefaultClient", "django_redis.client.default.DefaultClient"})
_OTHER_SERVER = frozenset(
    {"connection_class", "credential_provider", "db", "host", "path", "port", "redis_connect_func"}
)
_TLS_UNDERSTOOD = frozenset({"ssl_ca_certs", "ssl_cert_reqs", "ssl_check_hostname"})
IN_UPSTASH = "Give it in that entry of UPSTASH, or give LOCATION a URL."


def is_url(location: str) -> bool:
    """Tell a URL from an alias."""
    return "://" in hosts.normal_url(location)


def single(location: object) -> str:
    """Return the one location there is, stripped, or nothing if there is none."""
    if isinstance(location, list | tuple) and len(location) == 1:
        location = location[0]
    return location.strip() if isinstance(location, str) else ""


def entry(url: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return URL and options as an entry of ``UPSTASH``; where two options say the same, the nearer name wins."""
    found = redis_arguments.entry(options.get(POOL_ARGUMENTS) or {})
    # django-redis reads an empty option as one that is not given.
    found |= {key: options[name] for name, key in _DJANGO_REDIS_KEYS.items() if options.get(name)}
    found |= {key: options[key] for key in CONNECTION_KEYS if key in options}
    return {"URL": url, **found}


def namer(where: str, options: Mapping[str, Any]) -> Namer:
    """Return how the reader of ``CACHES`` knows the keys of ``UPSTASH``."""
    names = {"URL": f'{where}["LOCATION"]'}
    for argument, key in redis_arguments.KEYS.items():
        if argument in (options.get(POOL_ARGUMENTS) or {}):
            names[key] = f'{where}["OPTIONS"]["{POOL_ARGUMENTS}"]["{argument}"]'
    for name in (*_DJANGO_REDIS_KEYS, *CONNECTION_KEYS):
        if options.get(name):
            names[_DJANGO_REDIS_KEYS.get(name, name)] = f'{where}["OPTIONS"]["{name}"]'
    return lambda key: names.get(key, f'{where}["OPTIONS"]["{key}"]')


def mistakes(location: object, options: object, where: str, aliases: Sequence[str]) -> Iterator[Mistake]:
    """Yield what is wrong with a cache's location, and which of its options cannot be followed."""
    yield from _location_mistakes(location, where, aliases)
    if not isinstance(options, Mapping) or not isinstance(options.get(POOL_ARGUMENTS) or {}, Mapping):
        name = "OPTIONS" if not isinstance(options, Mapping) else f'OPTIONS"]["{POOL_ARGUMENTS}'
        yield Mistake("E044", f'{where}["{name}"] must be a dict.', "Leave it out where there is nothing to say.")
        return
    yield from _option_mistakes(options, where)
    if not is_url(single(location)):
        yield from _misplaced_options(options, where)


def _location_mistakes(location: object, where: str, aliases: Sequence[str]) -> Iterator[Mistake]:
    name = f'{where}["LOCATION"]'
    known = f"UPSTASH has {', '.join(map(repr, aliases)) or 'no connections'}."
    if _names_several(location):
        hint = "Upstash has one endpoint per database: name that one. Read regions are chosen by Upstash."
        yield Mistake("E042", f"{name} names several servers.", hint)
    elif not single(location):
        yield Mistake("E040", f"{name} is missing.", f"Name a connection or give a URL. {known}")
    elif not is_url(single(location)) and single(location) not in aliases:
        yield Mistake("E041", f"{name} is neither a URL nor the name of a connection.", known)


def _names_several(location: object) -> bool:
    if isinstance(location, list | tuple | set):
        return len(location) > 1
    return isinstance(location, str) and location.count("://") > 1  # django-redis splits it on commas


def _option_mistakes(options: Mapping[str, Any], where: str) -> Iterator[Mistake]:
    for option in sorted(REFUSED_OPTIONS.intersection(options)):
        hint = "Leave it out: there is one server, and LOCATION names it."
        yield Mistake("E044", f'{where}["OPTIONS"]["{option}"] has no meaning here.', hint)
    client = str(options.get("CLIENT_CLASS", ""))
    if client.startswith("django_redis.") and client not in DEFAULT_CLIENTS:
        hint = "Leave it out: this cache has a client of its own, which shares the process's connections."
        yield Mistake("E044", f'{where}["OPTIONS"]["CLIENT_CLASS"] opens connections of its own.', hint)
    arguments = options.get(POOL_ARGUMENTS) or {}
    inner = f'{where}["OPTIONS"]["{POOL_ARGUMENTS}"]'
    for argument in redis_arguments.weakening_tls(arguments):
        text = f'{inner}["{argument}"] switches TLS verification off.'
        yield Mistake("E014", text, redis_arguments.WHY_VERIFY)
    for argument in arguments:
        if _is_refused(argument):
            hint = "LOCATION names server and database, ssl_ca_certs a private authority."
            yield Mistake("E044", f'{inner}["{argument}"] cannot be followed.', hint)


def arguments_without_effect(arguments: object) -> Iterator[str]:
    """Yield the names in ``CONNECTION_POOL_KWARGS`` that change nothing."""
    if isinstance(arguments, Mapping):
        yield from (name for name in redis_arguments.without_effect(arguments) if not _is_refused(name))


def overruled_options(location: object, options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the options that say how to connect, beside a location that says so itself."""
    if not is_url(single(location)):
        yield from sorted(CONNECTION_OPTIONS.difference(_IDENTITY).intersection(options))


def _is_refused(argument: str) -> bool:
    return argument in _OTHER_SERVER or (str(argument).startswith("ssl_") and argument not in _TLS_UNDERSTOOD)


def _misplaced_options(options: Mapping[str, Any], where: str) -> Iterator[Mistake]:
    given = {option for option in _IDENTITY if options.get(option) is not None}
    given |= _IDENTITY.intersection(redis_arguments.entry(options.get(POOL_ARGUMENTS) or {}))
    for option in sorted(given):
        yield Mistake("E044", f'{where}["OPTIONS"] gives {option} beside the name of a connection.', IN_UPSTASH)
