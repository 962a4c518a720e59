"""What ``TASKS[…]["OPTIONS"]`` may say for this package's backend, and what can be wrong with it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any

from django_upstash.validation import Mistake

_WITHOUT_QUOTES = "Write it without quotes, or leave it out for the default."
_TIMES = {"visibility": 86_400.0, "result_ttl": 10 * 365 * 86_400.0, "longest_poll": 3600.0}
_COUNTS = {"max_attempts": (1, 999), "retries": (0, 998)}


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """
    The options of a task backend, checked and typed. The field names are the lower-case forms of their keys.

    Times are in seconds. ``retries`` is how often a task that raised is run again; ``max_attempts`` is how many runs
    may be begun in all, those that their workers did not survive among them.
    """

    alias: str = "default"
    prefix: str = "tasks"
    visibility: float = 60.0
    max_attempts: int = 5
    retries: int = 0
    result_ttl: float = 7 * 86_400.0
    longest_poll: float = 5.0


def typed(options: Mapping[str, Any]) -> TaskSettings:
    """Return the options typed; they must be free of mistakes."""
    return TaskSettings(**{name.lower(): value for name, value in options.items()})


def mistakes(options: object, where: str) -> Iterator[Mistake]:
    """Yield what is wrong with the options, whose name is ``where``."""
    if not isinstance(options, Mapping):
        yield Mistake("E461", f"{where} must be a dict.", 'Write {"ALIAS": "default"}, or leave it out.')
        return
    known = asdict(TaskSettings())
    for key, value in options.items():
        if not isinstance(key, str) or key != key.upper() or key.lower() not in known:
            yield _unknown(key, list(map(str.upper, known)), where)
        else:
            yield from _value_mistakes(key.lower(), value, f'{where}["{key}"]')
    yield from _contradictions(options, where)


def _unknown(key: object, known: list[str], where: str) -> Mistake:
    close = get_close_matches(str(key).upper(), known, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"It takes {', '.join(known)}."
    return Mistake("E462", f"{where} has the unknown key {key!r}.", hint)


def _value_mistakes(name: str, value: object, where: str) -> Iterator[Mistake]:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if name in ("alias", "prefix"):
        if not (isinstance(value, str) and 0 < len(value) <= 60):
            yield Mistake("E463", f"{where} must be a text of 1 to 60 characters.", "Write it in quotes.")
    elif name in _TIMES:
        if not (is_number and 0 < value <= _TIMES[name]):  # type: ignore[operator]
            text = f"{where} must be a number of seconds above 0, {_TIMES[name]:,.0f} at most."
            yield Mistake("E464", text, _WITHOUT_QUOTES)
    else:
        least, most = _COUNTS[name]
        if not (is_number and isinstance(value, int) and least <= value <= most):
            yield Mistake("E465", f"{where} must be a whole number from {least} to {most}.", _WITHOUT_QUOTES)


def _contradictions(options: Mapping[Any, Any], where: str) -> Iterator[Mistake]:
    defaults = TaskSettings()
    attempts, retries = options.get("MAX_ATTEMPTS", defaults.max_attempts), options.get("RETRIES", defaults.retries)
    if isinstance(attempts, int) and isinstance(retries, int) and retries >= attempts:
        text = f'{where}["RETRIES"] is {retries}, and MAX_ATTEMPTS allows {attempts} runs in all.'
        yield Mistake("E466", text, "MAX_ATTEMPTS must be larger than RETRIES.")
