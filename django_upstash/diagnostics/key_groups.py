"""Which keys belong together, to be counted as one line."""

from __future__ import annotations

import re
from collections.abc import Iterable

NO_FAMILY = "(no prefix)"
_LONGEST = 80
_VERSION = re.compile(r":\d{1,9}:")
_UP_TO_COLON = re.compile(r"[^:]+:")
_BEFORE_IDENTIFIER = re.compile(r"(.{2,}?[-_./])[0-9A-Fa-f.-]*\d[0-9A-Fa-f.-]*")
# UUIDs, hashes and session keys, long numbers. They are too many to be lines, and may be secret.
_IDENTIFIER = re.compile(
    r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|(?=[A-Za-z0-9]*\d)[A-Za-z0-9]{16,}|(?<![\d.])\d{3,}"
)


class Families:
    """
    Sorts keys by what they begin with.

    A key of a cache, ``prefix:version:…``, is known by the caches' prefixes; an empty one is always among them. Any
    other belongs to the text before its first colon, or before an identifier at its end. All of that comes after
    ``environment``, what the keys of this environment begin with; those of others are one family each.
    """

    def __init__(self, cache_prefixes: Iterable[str] = (), environment: str = "") -> None:
        self._environment = environment
        self._cache_prefixes = frozenset(cache_prefixes) | {""}

    def __call__(self, name: bytes) -> str:
        text = name.decode("utf-8", "backslashreplace")
        beginning = self._environment if text.startswith(self._environment) else ""
        text = text.removeprefix(beginning)
        return beginning + (self._of_cache(text) or self._of_others(text))

    def _of_cache(self, text: str) -> str | None:
        for prefix in self._cache_prefixes:
            if text.startswith(prefix) and (match := _VERSION.match(text, len(prefix))):
                return prefix + match[0]
        return None

    def _of_others(self, text: str) -> str:
        match = _UP_TO_COLON.match(text)
        if match:
            return _IDENTIFIER.sub("*", match[0])[:_LONGEST]
        match = _BEFORE_IDENTIFIER.fullmatch(text)
        return _IDENTIFIER.sub("*", match[1])[:_LONGEST] if match else NO_FAMILY
