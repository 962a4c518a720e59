"""
What ``UPSTASH_BREAKER`` may say. Pure: opens no connection.

    UPSTASH_BREAKER = {"TIMEOUT": 30, "BREAKERS": {"stripe": {"FAILURE_THRESHOLD": 3}}}
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from django_upstash.settings import conf
from django_upstash.settings.rules import Mistake, Rule, flag, number, seconds, suggestion, text, value_mistakes, whole
from django_upstash.settings.schema import Schema, option

SETTING = "UPSTASH_BREAKER"
BREAKERS = "BREAKERS"
_YEAR = timedelta(days=366).total_seconds()
_EXAMPLE = 'Write {"stripe": {"FAILURE_THRESHOLD": 3}}.'


def _count() -> Rule:
    return whole("E405", 1, 1_000_000)


def _time() -> Rule:
    words = "seconds above 0, a year at most, or a timedelta"
    return seconds("E406", words, "Write 30 for half a minute.", least=0.001, most=_YEAR)


@dataclass(frozen=True, kw_only=True)
class BreakerOptions:
    """
    How a breaker decides. Times are in seconds.

    With ``failure_rate`` the share of failures in a window decides: of the last ``window_calls`` calls, or of those of
    the last ``window_seconds``. Without it, ``failure_threshold`` failures in a row do.
    """

    enabled: bool = option(flag("E403"), default=True)  # False: every call passes, and nothing is counted
    alias: str = option(text("E404"), default="default")
    failure_threshold: int = option(_count(), default=5)
    success_threshold: int = option(_count(), default=2)  # probes that succeed before calls pass again
    timeout: float = option(_time(), default=30.0)  # how long an open circuit refuses before it is probed
    probes: int = option(_count(), default=1)  # at the same time, in all processes together
    probe_timeout: float = option(_time(), default=60.0)  # a probe that has not ended by then gives up its place
    failure_rate: float | None = option(
        number("E407", 0, 1, "a share above 0, 1 at most", "Write 0.5 for half of the calls.", above=True).or_none(),
        default=None,
    )
    window_calls: int | None = option(_count().or_none(), default=None)
    window_seconds: float | None = option(_time().or_none(), default=None)
    minimum_calls: int = option(_count(), default=10)
    # A call that takes as long counts as a failure, whatever it returns.
    slow_call: float | None = option(_time().or_none(), default=None)
    redis_timeout: float = option(_time(), default=0.25)  # of a question to the server
    # How often a process asks what is forced; None: at its own failures and deadlines.
    refresh: float | None = option(_time().or_none(), default=10.0)

    @property
    def window_length(self) -> int:
        """How many calls a window of calls holds."""
        return self.window_calls or 100


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


SCHEMA = Schema(
    SETTING,
    BreakerOptions,
    "E401",
    'Write {"TIMEOUT": 30}.',
    unknown_id="E402",
    others={BREAKERS},
    contradictions=_contradictions,
)


def breaker_setting() -> Mapping[str, Any]:
    """Return ``UPSTASH_BREAKER`` as it is written."""
    found: Mapping[str, Any] = conf.setting(SETTING, {})
    return found


def checked(given: Mapping[str, Any], name: str, overrides: Mapping[str, Any]) -> BreakerOptions:
    """
    Return the options of one breaker: of the setting, of its entry there, and those that it is made with.

    Raises ``ImproperlyConfigured`` for the first mistake.
    """
    where = f"CircuitBreaker({name!r})"
    for mistake in (*mistakes(given), *_override_mistakes(overrides, where)):
        raise ImproperlyConfigured(str(mistake))
    merged = {**_common(given), **given.get(BREAKERS, {}).get(name, {})}
    return SCHEMA.checked({**merged, **{key.upper(): value for key, value in overrides.items()}}, where)


def _override_mistakes(overrides: Mapping[str, Any], where: str) -> Iterator[Mistake]:
    for key, value in overrides.items():
        rule = SCHEMA.rules.get(key.upper()) if key.islower() else None
        if rule is None:
            hint = suggestion(key, [name.lower() for name in SCHEMA.rules])
            yield Mistake("E402", f"{where} has an unknown key {key!r}.", hint)
        else:
            yield from value_mistakes(rule, value, f"{where}: {key}")


def mistakes(given: object) -> Iterator[Mistake]:
    """Yield what is wrong with the setting by itself."""
    yield from SCHEMA.mistakes(given)
    if not isinstance(given, Mapping):
        return
    named = given.get(BREAKERS, {})
    if not isinstance(named, Mapping):
        yield Mistake("E409", f'{SETTING}["{BREAKERS}"] must be a dict, not {type(named).__name__}.', _EXAMPLE)
        return
    for name, entry in named.items():
        yield from _named_mistakes(name, entry, _common(given))


def _named_mistakes(name: object, entry: object, common: Mapping[str, Any]) -> Iterator[Mistake]:
    where = f'{SETTING}["{BREAKERS}"][{name!r}]'
    if not isinstance(name, str) or not name or not isinstance(entry, Mapping):
        yield Mistake("E409", f"{where} must be a dict under the name of a breaker.", _EXAMPLE)
        return
    found = [*SCHEMA.key_mistakes(entry, where)]
    yield from found or SCHEMA.mistakes({**common, **entry}, where)


def alias_mistakes(given: Mapping[str, Any], known: Collection[str]) -> Iterator[Mistake]:
    """Yield the aliases that name no known connection; the setting must be free of mistakes by itself."""
    named = {SETTING: given} | {
        f'{SETTING}["{BREAKERS}"][{name!r}]': own for name, own in given.get(BREAKERS, {}).items()
    }
    for where, entry in named.items():
        # Where none is named, the site may have no breakers at all.
        alias = entry.get("ALIAS")
        if alias is not None and alias not in known:
            hint = f"It has {', '.join(map(repr, known))}: name one of these as ALIAS."
            yield Mistake("E404", f"{where} is on {alias!r}, which is no connection of UPSTASH.", hint)


def _common(given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key != BREAKERS}
