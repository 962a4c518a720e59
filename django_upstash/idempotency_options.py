"""``settings.UPSTASH_IDEMPOTENCY``: what it may say, and what can be wrong with it. Pure: reads no settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, Literal

from django_upstash.session_settings import KEY_WORDS, encryption_key
from django_upstash.validation import Mistake, Rule

_SETTING = "UPSTASH_IDEMPOTENCY"
_LONGEST = timedelta(days=36500).total_seconds()


@dataclass(frozen=True, kw_only=True)
class IdempotencySettings:
    """
    ``settings.UPSTASH_IDEMPOTENCY``, checked and typed. The field names are the lower-case forms of its keys.

    Times are in seconds, sizes in bytes.
    """

    alias: str = "default"
    tenant: str = "default"
    ttl: float = 86_400.0  # of a result
    in_progress_ttl: float = 60.0  # of a reservation, longer than any request takes
    methods: tuple[str, ...] = ("POST", "PATCH")
    required: bool = False
    bare_keys: bool = False  # accept a header without quotes
    on_failure: Literal["open", "closed"] = "closed"
    store: Literal["success", "client_errors", "all"] = "client_errors"
    max_response_size: int = 1024 * 1024
    retry_after: int = 1
    principal: str | None = None  # the dotted path of a function
    encryption_keys: tuple[bytes, ...] = field(default=(), repr=False)


def typed(given: Mapping[str, Any], session_keys: tuple[bytes, ...] = ()) -> IdempotencySettings:
    """Return the setting typed; it must be free of mistakes. The sessions' encryption keys stand in for its own."""
    values = {key.lower(): value for key, value in given.items()}
    for name in ("ttl", "in_progress_ttl"):
        if name in values:
            values[name] = _seconds(values[name])
    if "methods" in values:
        values["methods"] = tuple(method.upper() for method in values["methods"])
    keys = values.get("encryption_keys")
    values["encryption_keys"] = session_keys if keys is None else tuple(map(encryption_key, keys))
    return IdempotencySettings(**values)


def mistakes(given: object) -> Iterator[Mistake]:
    """Yield what is wrong with the setting by itself. No message shows a value that may be a key."""
    if not isinstance(given, Mapping):
        text = f"{_SETTING} must be a dict, not {type(given).__name__}."
        yield Mistake("E421", text, 'Write {"ALIAS": "default"}, or leave it out for the defaults.')
        return
    found = list(_value_mistakes(given))
    yield from found
    if not found and _in_progress_is_longer(given):
        text = f'{_SETTING}["IN_PROGRESS_TTL"] is longer than "TTL".'
        yield Mistake("E424", text, "A result is to be kept at least as long as it may take to make it.")


def _value_mistakes(given: Mapping[Any, Any]) -> Iterator[Mistake]:
    for key, value in given.items():
        if key not in _RULES:
            yield Mistake("E422", f"{_SETTING} has an unknown key {key!r}.", _suggestion(key))
        elif not _RULES[key].accepts(value):
            rule = _RULES[key]
            yield Mistake(rule.id, f'{_SETTING}["{key}"] must be {rule.words}.', rule.hint)


def _in_progress_is_longer(given: Mapping[str, Any]) -> bool:
    found = typed({key: value for key, value in given.items() if key in ("TTL", "IN_PROGRESS_TTL")})
    return found.in_progress_ttl > found.ttl


def _seconds(value: Any) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def _is_time(value: Any) -> bool:
    is_number = isinstance(value, int | float | timedelta) and not isinstance(value, bool)
    return is_number and 0.001 <= _seconds(value) <= _LONGEST


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 1024


def _is_path(value: Any) -> bool:
    return value is None or (isinstance(value, str) and re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", value) is not None)


def _are_methods(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset) and all(
        isinstance(method, str) and re.fullmatch("[A-Za-z]+", method) for method in value
    )


def _is_whole(least: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least


def _are_keys(value: Any) -> bool:
    if value is None or not isinstance(value, list | tuple):
        return value is None
    try:
        return all(map(encryption_key, value))
    except ValueError:
        return False


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _one_of(*known: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in known


_TIME = "seconds, 0.001 or more, or a timedelta"
_FLAG = Rule("E426", _is_flag, "True or False", "Write it without quotes.")
_RULES: dict[str, Rule] = {
    "ALIAS": Rule("E423", _is_text, "the name of a connection", 'Such as "default".'),
    "TENANT": Rule("E423", _is_text, "a text of 1 to 1024 characters", 'Such as "default".'),
    "PRINCIPAL": Rule(
        "E423", _is_path, "None, or the dotted path of a function", 'It is called with (request, user): "shop.who".'
    ),
    "TTL": Rule("E424", _is_time, _TIME, "Write 86400 for a day."),
    "IN_PROGRESS_TTL": Rule("E424", _is_time, _TIME, "Write 60, or more where requests take longer."),
    "ON_FAILURE": Rule(
        "E425",
        _one_of("open", "closed"),
        '"open" or "closed"',
        "While Redis is away, requests with a key run unprotected with the first, and get 503 with the second.",
    ),
    "STORE": Rule(
        "E425",
        _one_of("success", "client_errors", "all"),
        '"success", "client_errors" or "all"',
        "Up to which status responses are kept: 399, 499 or 599.",
    ),
    "METHODS": Rule("E426", _are_methods, "a list of methods", 'Such as ["POST", "PATCH"].'),
    "REQUIRED": _FLAG,
    "BARE_KEYS": _FLAG,
    "MAX_RESPONSE_SIZE": Rule("E426", _is_whole(0), "a whole number of bytes", "Write it without quotes."),
    "RETRY_AFTER": Rule("E426", _is_whole(1), "a whole number of seconds, 1 or more", "Write it without quotes."),
    "ENCRYPTION_KEYS": Rule(
        "E427",
        _are_keys,
        f"None, or a list of keys, each of them {KEY_WORDS}",
        "The first key encrypts, all of them decrypt; None takes those of UPSTASH_SESSIONS, [] none.",
    ),
}


def _suggestion(key: object) -> str:
    close = get_close_matches(key.upper(), _RULES, n=1) if isinstance(key, str) else []
    known = f"Known are {', '.join(sorted(_RULES))}."
    return f"Did you mean {close[0]}? {known}" if close else known
