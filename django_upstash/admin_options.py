"""What ``UPSTASH_ADMIN`` may say, and what can be wrong with it. Pure: reads no settings, imports no limiter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from django_upstash.validation import Mistake

_SETTING = "UPSTASH_ADMIN"


@dataclass(frozen=True, kw_only=True)
class AdminSettings:
    """
    ``settings.UPSTASH_ADMIN``, checked and typed: how the admin's pages look at Redis. Times are in seconds.

    The field names are the lower-case forms of the setting's keys.
    """

    read_only: bool = False  # nobody changes anything here, whatever their permissions
    refresh: float | None = 5.0  # between a page's refreshes; None: by hand
    timeout: float = 2.0  # of each request, and of all scanning for one page
    scan_pages: int = 20  # SCAN commands for one page, at most
    limiters: tuple[str, ...] = ()  # dotted paths of limiters that this process may not have imported


@dataclass(frozen=True)
class _Rule:
    id: str
    accepts: Callable[[Any], bool]
    words: str
    hint: str


def mistakes(given: object) -> Iterator[Mistake]:
    """Yield what is wrong with the setting by itself."""
    if not isinstance(given, Mapping):
        text = f"{_SETTING} must be a dict, not {type(given).__name__}."
        yield Mistake("E301", text, 'Write {"READ_ONLY": True}, or leave it out for the defaults.')
        return
    for key, value in given.items():
        if key not in _RULES:
            yield Mistake("E302", f"{_SETTING} has an unknown key {key!r}.", _suggestion(key))
        elif not _RULES[key].accepts(value):
            rule = _RULES[key]
            yield Mistake(rule.id, f'{_SETTING}["{key}"] must be {rule.words}.', rule.hint)


def typed(given: Mapping[str, Any]) -> AdminSettings:
    """Return the setting typed; it must be free of mistakes."""
    values = {key.lower(): value for key, value in given.items()}
    return AdminSettings(**{**values, "limiters": tuple(values.get("limiters", ()))})


def _is_seconds(least: float, most: float) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _is_pages(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1000


def _are_paths(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(path, str) and "." in path for path in value)


def _suggestion(key: object) -> str:
    close = get_close_matches(str(key).upper(), _RULES, 1)
    return f"Did you mean {close[0]!r}?" if close else f"It takes {', '.join(_RULES)}."


_WITHOUT_QUOTES = "Write it without quotes, or leave it out for the default."
_is_refresh = _is_seconds(1, 3600)
_RULES = {
    "READ_ONLY": _Rule("E303", lambda value: isinstance(value, bool), "True or False", _WITHOUT_QUOTES),
    "REFRESH": _Rule(
        "E304",
        lambda value: value is None or _is_refresh(value),
        "seconds from 1 to 3600, or None",
        "None leaves refreshing to the person at the page.",
    ),
    "TIMEOUT": _Rule("E305", _is_seconds(0.05, 60), "seconds from 0.05 to 60", _WITHOUT_QUOTES),
    "SCAN_PAGES": _Rule("E306", _is_pages, "a whole number from 1 to 1000", _WITHOUT_QUOTES),
    "LIMITERS": _Rule("E307", _are_paths, "a list of dotted paths", 'Such as ["shop.limits.checkout_limiter"].'),
}
