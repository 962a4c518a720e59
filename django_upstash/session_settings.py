"""
What ``UPSTASH_SESSIONS`` may say, and what can be wrong with it. Pure: reads no settings, opens no connection.

No message shows a value that may be a key.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, Literal

from django_upstash.validation import Mistake

KEY_BYTES = 32
KEY_WORDS = "32 random bytes in base64 or hexadecimal, as `openssl rand -base64 32` prints them"
_SETTING = "UPSTASH_SESSIONS"
_WITHOUT_QUOTES = "Write it without quotes, or leave it out for the default."


@dataclass(frozen=True, kw_only=True)
class SessionSettings:
    """
    ``settings.UPSTASH_SESSIONS``, checked and typed. The field names are the lower-case forms of its keys.

    Times are in seconds. ``renew_after`` below 1 is a share of the session's lifetime.
    """

    alias: str = "default"
    prefix: str = "session"
    on_failure: Literal["error", "anonymous"] = "error"
    renew_after: float = 0.1
    merge: bool = False
    index: bool = False
    max_per_user: int | None = None
    idle_timeout: float | None = None
    absolute_timeout: float | None = None
    move_from: str | None = None
    encryption_keys: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def keeps_index(self) -> bool:
        """Whether each user's sessions are written down: a limit on their number needs that too."""
        return self.index or self.max_per_user is not None

    def renewal_seconds(self, lifetime: float) -> float:
        """Return how long after its last writing an unchanged session of this lifetime is written again."""
        return self.renew_after * lifetime if self.renew_after < 1 else self.renew_after


def encryption_key(given: object) -> bytes:
    """
    Return the 32 bytes that are given, or that hexadecimal or base64, plain or URL-safe, spell out.

    Raises ``ValueError`` with the words for what it must be.
    """
    if isinstance(given, str):
        given = _spelled_out(given.strip())
    if not isinstance(given, bytes) or len(given) != KEY_BYTES:
        raise ValueError(KEY_WORDS)
    return given


def _spelled_out(text: str) -> bytes:
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text)
    padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
    try:
        return base64.b64decode(padded, altchars=b"-_" if re.search("[-_]", text) else None, validate=True)
    except (binascii.Error, ValueError):
        return b""


def typed(given: Mapping[str, Any]) -> SessionSettings:
    """Return the setting typed; it must be free of mistakes."""
    values = {key.lower(): value for key, value in given.items()}
    for name in ("renew_after", "idle_timeout", "absolute_timeout"):
        if values.get(name) is not None:
            values[name] = _seconds(values[name])
    values["encryption_keys"] = tuple(encryption_key(key) for key in values.get("encryption_keys") or ())
    return SessionSettings(**values)


def mistakes(given: object) -> Iterator[Mistake]:
    """Yield what is wrong with the setting by itself."""
    if not isinstance(given, Mapping):
        text = f"{_SETTING} must be a dict, not {type(given).__name__}."
        yield Mistake("E101", text, 'Write {"ALIAS": "default"}, or leave it out for the defaults.')
        return
    for key, value in given.items():
        if key not in _RULES:
            yield Mistake("E102", f"{_SETTING} has an unknown key {key!r}.", _suggestion(key))
        elif not _RULES[key].accepts(value):
            rule = _RULES[key]
            yield Mistake(rule.id, f'{_SETTING}["{key}"] must be {rule.words}.', rule.hint)


@dataclass(frozen=True)
class _Rule:
    id: str
    accepts: Callable[[Any], bool]
    words: str
    hint: str


def _seconds(value: Any) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def _is_time(value: Any) -> bool:
    is_number = isinstance(value, int | float | timedelta) and not isinstance(value, bool)
    return is_number and 0 < _seconds(value) <= timedelta(days=36500).total_seconds()


def _is_timeout(value: Any) -> bool:
    return value is None or (_is_time(value) and _seconds(value) >= 1)


def _is_count(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1)


def _is_prefix(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_.:/-]{1,100}", value) is not None


def _is_path(value: Any) -> bool:
    return value is None or (isinstance(value, str) and re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", value) is not None)


def _are_keys(value: Any) -> bool:
    if not isinstance(value, list | tuple):
        return False
    try:
        return all(map(encryption_key, value))
    except ValueError:
        return False


_FLAG = _Rule("E106", lambda value: isinstance(value, bool), "True or False", _WITHOUT_QUOTES)
_TIMEOUT = _Rule(
    "E105",
    _is_timeout,
    "None, or seconds, 1 or more, or a timedelta",
    "Write 1800 for half an hour, None for no limit.",
)
_RULES: dict[str, _Rule] = {
    "ALIAS": _Rule(
        "E103", lambda value: isinstance(value, str) and bool(value), "the name of a connection", 'Such as "default".'
    ),
    "PREFIX": _Rule(
        "E103", _is_prefix, "1 to 100 letters, digits or any of _ . : / -", 'Such as "session" or "shop-session".'
    ),
    "ON_FAILURE": _Rule(
        "E104",
        lambda value: value in ("error", "anonymous"),
        '"error" or "anonymous"',
        "While sessions cannot be read, requests fail with the first, and are anonymous with the second.",
    ),
    "RENEW_AFTER": _Rule(
        "E105",
        _is_time,
        "a share of the lifetime above 0 and below 1, or seconds, or a timedelta",
        "Write 0.1 for a tenth of the lifetime, 300 for five minutes.",
    ),
    "MERGE": _FLAG,
    "INDEX": _FLAG,
    "MAX_PER_USER": _Rule("E106", _is_count, "None, or a whole number, 1 or more", _WITHOUT_QUOTES),
    "IDLE_TIMEOUT": _TIMEOUT,
    "ABSOLUTE_TIMEOUT": _TIMEOUT,
    "MOVE_FROM": _Rule(
        "E107",
        _is_path,
        "None, or the dotted path of a session engine",
        'Such as "django.contrib.sessions.backends.db".',
    ),
    "ENCRYPTION_KEYS": _Rule(
        "E108", _are_keys, f"a list of keys, each of them {KEY_WORDS}", "The first key encrypts, all of them decrypt."
    ),
}


def _suggestion(key: object) -> str:
    close = get_close_matches(key.upper(), _RULES, n=1) if isinstance(key, str) else []
    known = f"Known are {', '.join(sorted(_RULES))}."
    return f"Did you mean {close[0]}? {known}" if close else known
