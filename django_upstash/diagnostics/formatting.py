"""Numbers, times, sizes, keys and tables in words that fit a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_BYTES_UNITS = ("K", "M", "G", "T")

LONGEST_NAME = 200  # of what somebody typed, in a sentence


def duration(seconds: float) -> str:
    """Return a time in its two largest units: ``1 d 3 h``, ``12 s``, ``250 ms``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    words, rest = [], int(seconds)
    for size, unit in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            words.append(f"{count} {unit}")
        elif words:
            break
    return " ".join(words[:2])


def milliseconds(value: float) -> str:
    """Return milliseconds in two or three digits."""
    digits = 2 if value < 0.995 else 1 if value < 9.95 else 0
    return f"{value:,.{digits}f} ms"


def size(count: float) -> str:
    """Return a number of bytes in units of 1,024: ``512 B``, ``24 K``, ``1.5 M``."""
    if count < 1024:
        return f"{count:.0f} B"
    for unit in _BYTES_UNITS:
        count /= 1024
        if count < 1024 or unit == _BYTES_UNITS[-1]:
            break
    return f"{count:.1f} {unit}" if count < 9.95 else f"{count:,.0f} {unit}"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a count and its noun, which takes an s where no plural is given: ``1 key``, ``1,200 keys``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {plural or noun + 's'}"


def escaped(text: str) -> str:
    """Return text without what would move the cursor, hide or reorder text: such characters as their escapes."""
    return "".join(character if character.isprintable() else _escape(character) for character in text)


def shortened(text: str, length: int) -> str:
    """Return at most so many characters; an ellipsis replaces what is left out."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def table(rows: Iterable[Sequence[str]], *, left: int = 1) -> list[str]:
    """Return rows as lines of aligned columns: the first ``left`` to the left, the others to the right."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["   ".join(_aligned(row, widths, left)).rstrip() for row in rows]


def _aligned(row: Sequence[str], widths: Sequence[int], left: int) -> Iterable[str]:
    for place, (cell, width) in enumerate(zip(row, widths, strict=True)):
        yield cell.ljust(width) if place < left else cell.rjust(width)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
