"""
What ``UPSTASH_BREAKER`` may say, and what can be wrong with it. Pure: reads no settings, opens no connection.

    UPSTASH_BREAKER = {"TIMEOUT": 30, "BREAKERS": {"stripe": {"FAILURE_THRESHOLD": 3}}}
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from django_upstash.validation import Mistake

SETTING = "UPSTASH_BREAKER"
BREAKERS = "BREAKERS"
_LONGEST = timedelta(days=366).total_seconds()
_MOST = 1_000_000


@dataclass(frozen=True, kw_only=True)
class BreakerOptions:
    """
    How a breaker decides. Times are in seconds; the field names are the lower-case forms of the setting's keys.

    With ``failure_rate`` the share of failures in a window decides: of the last ``window_calls`` calls, or of those of
    the last ``window_seconds``. Without it, ``failure_threshold`` failures in a row do.
    """

    enabled: bool = True  # False: every call passes, and nothing is counted
    alias: str = "default"
    failure_threshold: int = 5
    success_threshold: int = 2  # probes that succeed before calls pass again
    timeout: float = 30.0  # how long an open circuit refuses before it is probed
    probes: int = 1  # at the same time, in all processes together
    probe_timeout: float = 60.0  # a probe that has not ended by then gives up its place
    failure_rate: float | None = None
    window_calls: int | None = None
    window_seconds: float | None = None
    minimum_calls: int = 10
    slow_call: float | None = None  # a call that takes as long counts as a failure, whatever it returns
    redis_timeout: float = 0.25  # of a question to the server
    refresh: float | None = 10.0  # how often a process asks what is forced; None: at its own failures and deadlines

    @property
    def window_length(self) -> int:
        """How many calls a window of calls holds."""
        return self.window_calls or 100


def checked(given: Mapping[str, Any], name: str, overrides: Mapping[str, Any]) -> BreakerOptions:
    """
    Return the options of one breaker: of the setting, of its entry there, and those that it is made with.

    Raises ``ImproperlyConfigured`` for the first mistake.
    """
    for mistake in mistakes_of(given, name, overrides):
        raise ImproperlyConfigured(str(mistake))
    return typed(given, name, overrides)


def typed(given: Mapping[str, Any], name: str, overrides: Mapping[str, Any] | None = None) -> BreakerOptions:
    """Return the options of one breaker; the setting must be free of mistakes, and so must ``overrides``."""
    own: Mapping[str, Any] = given.get(BREAKERS, {}).get(name, {})
    named = {**_common(given), **own}
    values = {key.lower(): value for key, value in named.items()} | dict(overrides or {})
    return BreakerOptions(**{key: _plain(value) for key, value in values.items()})


def _common(given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key != BREAKERS}


def mistakes(given: object) -> Iterator[Mistake]:
    """Yield what is wrong with the setting by itself."""
    if not isinstance(given, Mapping):
        yield Mistake("E401", f"{SETTING} must be a dict, not {type(given).__name__}.", 'Write {"TIMEOUT": 30}.')
        return
    yield from _entry_mistakes(_common(given), SETTING, {})
    named = given.get(BREAKERS, {})
    if not isinstance(named, Mapping):
        hint = 'Write {"stripe": {"FAILURE_THRESHOLD": 3}}.'
        yield Mistake("E409", f'{SETTING}["{BREAKERS}"] must be a dict, not {type(named).__name__}.', hint)
        return
    for name, entry in named.items():
        yield from _named_mistakes(name, entry, given)


def alias_mistakes(given: Mapping[str, Any], known: Collection[str]) -> Iterator[Mistake]:
    """Yield the aliases that are none of the known connections; the setting must be free of mistakes by itself."""
    named = {SETTING: given} | {
        f'{SETTING}["{BREAKERS}"][{name!r}]': own for name, own in given.get(BREAKERS, {}).items()
    }
    for where, entry in named.items():
        # Where none is named, the site may have no breakers at all.
        alias = entry.get("ALIAS")
        if alias is not None and alias not in known:
            hint = f"It has {', '.join(map(repr, known))}: name one of these as ALIAS."
            yield Mistake("E404", f"{where} is on {alias!r}, which is no connection of UPSTASH.", hint)


def mistakes_of(given: object, name: str, overrides: Mapping[str, Any]) -> Iterator[Mistake]:
    """Yield what is wrong with the setting, or with the options beside it that a breaker of this name is made with."""
    where = f"CircuitBreaker({name!r})"
    found = [*mistakes(given)]
    for key, value in overrides.items():
        found += _value_mistakes(key.upper() if key.islower() else None, value, where, key)
    yield from found
    if not found and isinstance(given, Mapping):
        yield from _contradictions(typed(given, name, overrides), where)


def _named_mistakes(name: object, entry: object, given: Mapping[str, Any]) -> Iterator[Mistake]:
    where = f'{SETTING}["{BREAKERS}"][{name!r}]'
    if not isinstance(name, str) or not name or not isinstance(entry, Mapping):
        hint = 'Write {"stripe": {"FAILURE_THRESHOLD": 3}}.'
        yield Mistake("E409", f"{where} must be a dict under the name of a breaker.", hint)
        return
    yield from _entry_mistakes(entry, where, _common(given))


def _entry_mistakes(entry: Mapping[str, Any], where: str, common: Mapping[str, Any]) -> Iterator[Mistake]:
    yield from _values_mistakes(entry, where)
    together = {**common, **entry}
    if not any(_values_mistakes(together, where)):
        yield from _contradictions(typed(together, ""), where)


def _values_mistakes(entry: Mapping[str, Any], where: str) -> Iterator[Mistake]:
    for key, value in entry.items():
        yield from _value_mistakes(key, value, where)


def _contradictions(options: BreakerOptions, where: str) -> Iterator[Mistake]:
    if options.window_calls is not None and options.window_seconds is not None:
        hint = "Leave out one of the two: a window ends by calls or by time."
        yield Mistake("E408", f"{where} has both WINDOW_CALLS and WINDOW_SECONDS.", hint)
    has_window = options.window_calls is not None or options.window_seconds is not None
    if has_window and options.failure_rate is None:
        hint = "Add FAILURE_RATE, such as 0.5; failures in a row need no window."
        yield Mistake("E408", f"{where} has a window and no FAILURE_RATE.", hint)
    counts_calls = options.failure_rate is not None and options.window_seconds is None
    if counts_calls and options.minimum_calls > options.window_length:
        hint = "The window never holds so many: lower the one or raise the other."
        yield Mistake("E408", f"{where} has MINIMUM_CALLS above WINDOW_CALLS ({options.window_length}).", hint)


def _value_mistakes(key: object, value: Any, where: str, shown: str | None = None) -> Iterator[Mistake]:
    rule = _RULES.get(key) if isinstance(key, str) else None
    if rule is None:
        known = sorted([*_RULES, BREAKERS] if shown is None else map(str.lower, _RULES))
        yield Mistake("E402", f"{where} has an unknown key {shown or key!r}.", _suggestion(shown or key, known))
    elif not rule.accepts(value):
        name = f'{where}["{key}"]' if shown is None else f"{where}: {shown}"
        yield Mistake(rule.id, f"{name} must be {rule.words}.", rule.hint)


@dataclass(frozen=True)
class _Rule:
    id: str
    accepts: Callable[[Any], bool]
    words: str
    hint: str


def _plain(value: Any) -> Any:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_time(value: Any) -> bool:
    return _is_number(_plain(value)) and 0.001 <= _plain(value) <= _LONGEST


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST


def _or_none(accepts: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or accepts(value)


_COUNT_WORDS = "a whole number from 1 to 1000000"
_TIME_WORDS = "seconds above 0, a year at most, or a timedelta"
_COUNT_HINT = "Write it without quotes, or leave it out for the default."
_TIME_HINT = "Write 30 for half a minute."
_COUNT = _Rule("E405", _is_count, _COUNT_WORDS, _COUNT_HINT)
_COUNT_OR_NONE = _Rule("E405", _or_none(_is_count), f"None, or {_COUNT_WORDS}", _COUNT_HINT)
_TIME = _Rule("E406", _is_time, _TIME_WORDS, _TIME_HINT)
_TIME_OR_NONE = _Rule("E406", _or_none(_is_time), f"None, or {_TIME_WORDS}", _TIME_HINT)
_RULES: dict[str, _Rule] = {
    "ENABLED": _Rule("E403", lambda value: isinstance(value, bool), "True or False", "Write it without quotes."),
    "ALIAS": _Rule(
        "E404", lambda value: isinstance(value, str) and bool(value), "the name of a connection", 'Such as "default".'
    ),
    "FAILURE_THRESHOLD": _COUNT,
    "SUCCESS_THRESHOLD": _COUNT,
    "TIMEOUT": _TIME,
    "PROBES": _COUNT,
    "PROBE_TIMEOUT": _TIME,
    "FAILURE_RATE": _Rule(
        "E407",
        _or_none(lambda value: _is_number(value) and 0 < value <= 1),
        "None, or a share above 0, 1 at most",
        "Write 0.5 for half of the calls.",
    ),
    "WINDOW_CALLS": _COUNT_OR_NONE,
    "WINDOW_SECONDS": _TIME_OR_NONE,
    "MINIMUM_CALLS": _COUNT,
    "SLOW_CALL": _TIME_OR_NONE,
    "REDIS_TIMEOUT": _TIME,
    "REFRESH": _TIME_OR_NONE,
}


def _suggestion(key: object, known: Sequence[str]) -> str:
    close = (
        get_close_matches(key.lower() if known[0].islower() else key.upper(), known, n=1)
        if isinstance(key, str)
        else []
    )
    listed = f"Known are {', '.join(known)}."
    return f"Did you mean {close[0]}? {listed}" if close else listed
