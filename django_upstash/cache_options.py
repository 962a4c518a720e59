"""
What ``OPTIONS`` of a cache say about its near tier, its outages, and the size of its keys and values.

Pure: reads no settings, opens no connection.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from django.core.exceptions import ImproperlyConfigured

from django_upstash.validation import Mistake

Policy = Literal["raise", "default", "local"]
OnOversize = Literal["refuse", "warn", "skip"]

POLICIES = ("raise", "default", "local")
ON_OVERSIZE = ("refuse", "warn", "skip")
SHORTEST_KEY = 64
LONGEST_LOCAL = 3600.0
_SIZES = {"MAX_VALUE_SIZE": 1, "COMPRESS_FROM": 0, "MAX_KEY_LENGTH": SHORTEST_KEY}
_LOCAL_KEYS = ("MAX_ENTRIES", "TTL", "MISSES")
NAMES = frozenset({"LOCAL", "ON_FAILURE", "ON_OVERSIZE", *_SIZES})
_NOT_QUOTED = "Write it without quotes, or leave it out."


@dataclass(frozen=True, kw_only=True)
class LocalOptions:
    """A near tier: how many replies it keeps, for how many seconds, and whether it remembers what is missing."""

    max_entries: int = 1000
    ttl: float = 2.0
    misses: bool = False


@dataclass(frozen=True, kw_only=True)
class CacheOptions:
    """The options, checked and typed; None for what is not asked for. Sizes are bytes, lengths are characters."""

    local: LocalOptions | None = None
    on_failure: Policy = "raise"
    max_value_size: int | None = None
    on_oversize: OnOversize = "refuse"
    compress_from: int | None = None
    max_key_length: int | None = None


def read(options: Mapping[str, Any], ignore_exceptions: bool = False) -> CacheOptions:
    """
    Return the options of a cache; ``ignore_exceptions`` is django-redis' way to ask for ``ON_FAILURE`` "default".

    Raises ``ImproperlyConfigured`` for the first mistake.
    """
    for mistake in mistakes(options, ""):
        raise ImproperlyConfigured(str(mistake))
    local = options.get("LOCAL")
    typed: dict[str, Any] = {name.lower(): options[name] for name in NAMES if options.get(name) is not None}
    typed["local"] = None if local is None else LocalOptions(**{key.lower(): value for key, value in local.items()})
    typed.setdefault("on_failure", "default" if ignore_exceptions else "raise")
    return CacheOptions(**typed)


def mistakes(options: Mapping[str, Any], where: str) -> Iterator[Mistake]:
    """Yield what is wrong with these options; ``where`` is the cache's entry, or nothing."""
    named = f'{where}["OPTIONS"]' if where else "OPTIONS"
    yield from _choice("ON_FAILURE", POLICIES, options, named)
    yield from _choice("ON_OVERSIZE", ON_OVERSIZE, options, named)
    for name, least in _SIZES.items():
        if options.get(name) is not None and not _is_whole(options[name], least):
            text = f'{named}["{name}"] must be a whole number, {least} or more, not {_shown(options[name])}.'
            yield Mistake("E048", text, _NOT_QUOTED)
    if options.get("LOCAL") is not None:
        yield from _local_mistakes(options["LOCAL"], f'{named}["LOCAL"]')
    yield from _contradictions(options, named)


def _choice(name: str, choices: tuple[str, ...], options: Mapping[str, Any], named: str) -> Iterator[Mistake]:
    value = options.get(name)
    if value is not None and value not in choices:
        known = ", ".join(f'"{choice}"' for choice in choices)
        yield Mistake("E049", f'{named}["{name}"] is none of {known}.', "Write one of these, or leave it out.")


def _local_mistakes(local: Any, named: str) -> Iterator[Mistake]:
    if not isinstance(local, Mapping):
        hint = 'Write {"MAX_ENTRIES": 1000, "TTL": 2.0}, or {} for just that.'
        yield Mistake("E050", f"{named} must be a dict, not {type(local).__name__}.", hint)
        return
    for key in local:
        if key not in _LOCAL_KEYS:
            match = get_close_matches(str(key).upper(), _LOCAL_KEYS, n=1)
            hint = f"Did you mean {match[0]}?" if match else f"Known are {', '.join(_LOCAL_KEYS)}."
            yield Mistake("E050", f"{named} has an unknown key {key!r}.", hint)
    if not _is_whole(local.get("MAX_ENTRIES", 1), 1):
        yield Mistake("E050", f'{named}["MAX_ENTRIES"] must be a whole number, 1 or more.', _NOT_QUOTED)
    if not _is_time(local.get("TTL", 1)):
        hint = "Write 2.0 for two seconds: for so long a change made by another process goes unnoticed."
        yield Mistake("E050", f'{named}["TTL"] must be a positive number of seconds, at most an hour.', hint)
    if not isinstance(local.get("MISSES", False), bool):
        yield Mistake("E050", f'{named}["MISSES"] must be True or False.', _NOT_QUOTED)


def _contradictions(options: Mapping[str, Any], named: str) -> Iterator[Mistake]:
    if options.get("COMPRESS_FROM") is not None and not options.get("COMPRESSOR"):
        hint = 'Name one, such as "django_redis.compressors.zlib.ZlibCompressor".'
        yield Mistake("E051", f'{named}["COMPRESS_FROM"] needs a COMPRESSOR.', hint)
    if options.get("ON_OVERSIZE") is not None and options.get("MAX_VALUE_SIZE") is None:
        hint = "Give the size in bytes, or leave ON_OVERSIZE out."
        yield Mistake("E051", f'{named}["ON_OVERSIZE"] needs a MAX_VALUE_SIZE.', hint)
    if options.get("IGNORE_EXCEPTIONS") is True and options.get("ON_FAILURE") == "raise":
        text = f'{named} has IGNORE_EXCEPTIONS and ON_FAILURE "raise", which contradict each other.'
        yield Mistake("E051", text, "Leave IGNORE_EXCEPTIONS out.")


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= LONGEST_LOCAL


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, int | float) else type(value).__name__
