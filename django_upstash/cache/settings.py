"""
What ``OPTIONS`` of a cache say about its near cache, its outages, and the size of its keys and values.

Pure: opens no connection.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from django.core.exceptions import ImproperlyConfigured

from django_upstash.settings.rules import Mistake, Rule, flag, number, one_of, whole
from django_upstash.settings.schema import Schema, option

Policy = Literal["raise", "default", "memory"]
OnOversize = Literal["refuse", "warn", "skip"]

SHORTEST_KEY = 64
# Words of earlier versions, which check W011 names.
OLD_NAMES = {"LOCAL": "NEAR_CACHE"}
OLD_POLICIES = {"local": "memory"}
_NOT_QUOTED = "Write it without quotes, or leave it out."
_CHOOSE = "Write one of these, or leave it out."


@dataclass(frozen=True, kw_only=True)
class NearCacheOptions:
    """A near cache: how many replies it keeps, for how many seconds, and whether it remembers what is missing."""

    max_entries: int = option(whole("E050", 1, hint=_NOT_QUOTED), default=1000)
    ttl: float = option(
        number(
            "E050",
            *(0, 3600.0),
            "a positive number of seconds, at most an hour",
            "Write 2.0 for two seconds: for so long a change made by another process goes unnoticed.",
            above=True,
        ),
        default=2.0,
    )
    misses: bool = option(flag("E050", _NOT_QUOTED), default=False)


NEAR_CACHE = Schema(
    "NEAR_CACHE",
    NearCacheOptions,
    "E050",
    'Write {"MAX_ENTRIES": 1000, "TTL": 2.0}, or {} for just that.',
    unknown_id="E050",
)


def _size(least: int) -> Rule:
    return whole("E048", least, hint=_NOT_QUOTED)


def _policy() -> Rule:
    rule = one_of("E049", "raise", "default", "memory", hint=_CHOOSE)
    return replace(
        rule,
        accepts=lambda value: rule.accepts(_present(value)),
        typed=_present,
    )


def _present(policy: Any) -> Any:
    return OLD_POLICIES.get(policy, policy) if isinstance(policy, str) else policy


@dataclass(frozen=True, kw_only=True)
class CacheOptions:
    """The options, checked and typed; None for what is not asked for. Sizes are bytes, lengths are characters."""

    near_cache: NearCacheOptions | None = None
    on_failure: Policy = option(_policy(), default="raise")
    max_value_size: int | None = option(_size(1), default=None)
    on_oversize: OnOversize = option(one_of("E049", "refuse", "warn", "skip", hint=_CHOOSE), default="refuse")
    compress_from: int | None = option(_size(0), default=None)
    max_key_length: int | None = option(_size(SHORTEST_KEY), default=None)


SCHEMA = Schema("OPTIONS", CacheOptions, "E046", unknown_id="")
NAMES = frozenset({NEAR_CACHE.name, *OLD_NAMES, *SCHEMA.rules})


def read(options: Mapping[str, Any], ignore_exceptions: bool = False) -> CacheOptions:
    """
    Return the options of a cache; ``ignore_exceptions`` is django-redis' way to ask for ``ON_FAILURE`` "default".

    Raises ``ImproperlyConfigured`` for the first mistake.
    """
    for mistake in mistakes(options, ""):
        raise ImproperlyConfigured(str(mistake))
    near, said = _near(options), _said(options)
    if ignore_exceptions:
        said.setdefault("ON_FAILURE", "default")
    return replace(SCHEMA.typed(said), near_cache=None if near is None else NEAR_CACHE.typed(near))


def mistakes(options: Mapping[str, Any], where: str) -> Iterator[Mistake]:
    """Yield what is wrong with these options; ``where`` is the cache's entry, or nothing."""
    named = f'{where}["OPTIONS"]' if where else "OPTIONS"
    yield from SCHEMA.mistakes(_said(options), named)
    if _near(options) is not None:
        yield from NEAR_CACHE.mistakes(_near(options), f'{named}["{_near_name(options)}"]')
    yield from _contradictions(options, named)


def _said(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options without those that are None, which is as if they were left out."""
    return {name: value for name, value in options.items() if value is not None}


def old_words(options: Mapping[str, Any], where: str) -> Iterator[Mistake]:
    """Yield the words of earlier versions, which still work, and the present ones."""
    for old, new in OLD_NAMES.items():
        if old in options:
            yield Mistake("W011", f'{where}["OPTIONS"]["{old}"] is an old name.', f"Write {new}.")
    policy = options.get("ON_FAILURE")
    if isinstance(policy, str) and policy in OLD_POLICIES:
        text = f'{where}["OPTIONS"]["ON_FAILURE"] is "{policy}", an old name.'
        yield Mistake("W011", text, f'Write "{OLD_POLICIES[policy]}".')


def _near_name(options: Mapping[str, Any]) -> str:
    return next((old for old in OLD_NAMES if old in options), NEAR_CACHE.name)


def _near(options: Mapping[str, Any]) -> Any:
    return options.get(_near_name(options))


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
