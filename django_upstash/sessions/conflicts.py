"""Two requests' changes to one session, made one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ABSENT = object()


def merged(base: Mapping[str, Any], mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``theirs`` with what ``mine`` has changed since ``base``; of a key that both changed, mine counts."""
    changed = {key: value for key, value in mine.items() if base.get(key, _ABSENT) != value}
    kept = {key: value for key, value in theirs.items() if key not in base or key in mine}
    return {**kept, **changed}
