"""
Keys as text that every route carries alike, what they begin with, and patterns that match what they say.

``UPSTASH_KEY_PREFIX`` keeps the environments of a project apart that share a database, such as previews: every key and
every channel of this package begins with it and a colon. Without it they begin with the name of their feature.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from django_upstash.settings.key_prefix import environment

_GLOB = re.compile(r"([*?\[\]\\])")


def root(name: str) -> str:
    """Return what the keys of a feature begin with: its ``name``, after the prefix of this environment."""
    return environment() + name


def check_encodable(key: str) -> None:
    """Raise ``DataError`` for a key that UTF-8 cannot carry: replacing what it lacks would make two keys one."""
    try:
        key.encode()
    except UnicodeEncodeError:
        # Imported here: the errors are redis-py's as well, and Django starts without that library.
        from django_upstash.exceptions import DataError

        raise DataError("A key contains a lone surrogate, which UTF-8 cannot carry.") from None


def percent_encoded(part: str) -> str:
    """Return one part of a key, in which nothing separates it from the next by accident."""
    return quote(part.encode("utf-8", "surrogatepass"), safe="")


def percent_decoded(text: str) -> str | None:
    """Return the part of a key that ``percent_encoded`` has written as this text; None for what it has not written."""
    try:
        part = unquote(text, errors="surrogatepass")
    except UnicodeDecodeError:
        return None
    return part if percent_encoded(part) == text else None


def glob_escape(text: str) -> str:
    """Return the pattern, as SCAN MATCH reads it, that matches this text and nothing else."""
    return _GLOB.sub(r"\\\1", text)
