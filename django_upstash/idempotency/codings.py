"""Content codings: bodies are stored without them, so that each request negotiates its own."""

from __future__ import annotations

import zlib

_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


def decoded(body: bytes, coding: str, largest: int) -> bytes | None:
    """Return a body without its coding, at most a byte longer than ``largest``; None for what is not known here."""
    window = _WINDOWS.get(coding.strip().lower())
    if window is None:
        return None
    decoder = zlib.decompressobj(window)
    try:
        found = decoder.decompress(body, largest + 1)
    except zlib.error:
        return None
    return found if len(found) > largest or (decoder.eof and not decoder.unused_data) else None


def accepts(field: str | None, coding: str) -> bool:
    """Tell whether an ``Accept-Encoding`` field, or none, allows for a coding (RFC 9110, section 12.5.3)."""
    if field is None:
        return True
    weights: dict[str, float] = {}
    for item in field.lower().split(","):
        name, _, parameter = item.partition(";")
        weights[name.strip()] = _weight(parameter)
    return all(weights.get(name.strip(), weights.get("*", 0.0)) > 0 for name in coding.lower().split(","))


def _weight(parameter: str) -> float:
    name, _, value = parameter.replace(" ", "").partition("=")
    try:
        return float(value) if name == "q" else 1.0
    except ValueError:
        return 0.0
