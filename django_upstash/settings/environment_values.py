"""
Values of environment variables, read from their texts.

Each function raises ``ValueError`` that says what the value must be, without showing it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django_upstash.settings.encryption_keys import encryption_key
from django_upstash.settings.validation import LONGEST_TIMEOUT

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BOOLEANS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


def boolean(text: str) -> bool:
    if text.lower() not in _BOOLEANS:
        raise ValueError("true or false (or 1, 0, yes, no, on, off)")
    return _BOOLEANS[text.lower()]


def count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 9 or int(text) < 1:
        raise ValueError("a whole number from 1 to 999999999")
    return int(text)


def seconds(text: str) -> float:
    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,9})?)\s*(ms|s|m|h|d)?", text.lower(), re.ASCII)
    if match is None or float(match[1]) == 0:
        raise ValueError('a time above zero, such as "5s", "500ms", "2h" or "5" for seconds')
    return float(match[1]) * _UNITS[match[2] or "s"]


def timeout(text: str) -> float:
    found = seconds(text)
    if found > LONGEST_TIMEOUT:
        raise ValueError("a time of at most a day")
    return found


def lifetime(text: str) -> int:
    found = seconds(text)
    if found != int(found) or found > timedelta(days=36500).total_seconds():
        raise ValueError('a time in whole seconds, at most a hundred years, such as "30m", "14d" or "1209600"')
    return int(found)


def choice(*known: str) -> Callable[[str], Any]:
    def parse(text: str) -> str:
        if text.lower() not in known:
            raise ValueError(" or ".join(known))
        return text.lower()

    return parse


def keys(text: str) -> tuple[bytes, ...]:
    return tuple(encryption_key(part) for part in text.split(","))
