"""What parsers have made of a body, as JSON that is the same for the same data, whatever its types are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from hashlib import sha256
from typing import Any

from django.core.files import File
from django.utils.datastructures import MultiValueDict

_PLAIN = (str, bool, int, type(None))


def described(data: object) -> list[Any]:
    """
    Return flat JSON that tells data from other data: mappings in any order, files by name, type and content.

    Dates, decimals and other values count by their type and text, objects without a text of their own by their type
    and attributes. Data may be as deep as a parser makes it, and hold itself, or the same part in many places.
    """
    found: list[Any] = []
    left, places = [iter([data])], dict[int, int]()
    while left:
        value = next(left[-1], _END)
        if value is _END:
            left.pop()
            found.append("end")
        elif isinstance(value, _PLAIN):
            found.append([type(value).__name__, format(value, "x") if isinstance(value, int) else value])
        elif (inner := _inner(value)) is None:
            found.append([type(value).__qualname__, _text(value)])
        elif id(value) in places:
            found.append(["again", places[id(value)]])
        else:
            places[id(value)] = len(places)
            found.append(_kind(value))
            left.append(iter(inner))
    return found


_END = object()


def _inner(value: Any) -> Iterable[Any] | None:
    """Return what a value holds, in an order of its own; None where it is not made of others."""
    if isinstance(value, File | bytes | bytearray | memoryview):
        return None
    if isinstance(value, MultiValueDict):
        return _pairs(dict(value.lists()))
    if isinstance(value, Mapping):
        return _pairs(value)
    if isinstance(value, Set):
        return sorted(value, key=_sorting)
    if isinstance(value, list | tuple):
        return value
    return None if _has_text(type(value)) else _pairs(getattr(value, "__dict__", {}))


def _has_text(kind: Any) -> bool:
    """Tell whether objects of a type have a text that is not their place in memory."""
    return any(getattr(kind, name) is not getattr(object, name) for name in ("__str__", "__repr__"))


def _pairs(mapping: Mapping[Any, Any]) -> Iterator[Any]:
    for name in sorted(mapping, key=_sorting):
        yield name
        yield mapping[name]


def _sorting(name: object) -> tuple[str, str]:
    return type(name).__qualname__, str(name)


def _kind(value: object) -> str:
    if isinstance(value, Mapping):
        return "mapping"
    return "list" if isinstance(value, list | tuple) else type(value).__qualname__


def _text(value: Any) -> Any:
    if isinstance(value, File):
        return [value.name or "", getattr(value, "content_type", None) or "", _digest(value)]
    if isinstance(value, bytes | bytearray | memoryview):
        return sha256(value).hexdigest()
    return str(value)


def _digest(file: File[Any]) -> str:
    """Return the digest of a file's content, and leave the file at the place where it was; its size if it is closed."""
    content = sha256()
    try:
        place = file.tell()
        for chunk in file.chunks():
            content.update(chunk)
        file.seek(place)
    except (AttributeError, OSError, ValueError):
        return f"size {file.size}"
    return content.hexdigest()
