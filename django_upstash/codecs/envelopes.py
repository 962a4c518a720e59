"""
An envelope around a stored value: one line that says when it expires, how long it took to compute, and its tags.

    ~e1:<milliseconds to compute>:<Unix time of expiry, milliseconds>:<tag>=<version>,…\\n<stored value>

The line is text on every route, so that scripts can read it. The signature of a value in an envelope covers the line.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from django_upstash.codecs.text import Encoded

MARK = b"~e1:"
# A line is never longer, so scripts need not read more of a value.
LONGEST_LINE = 4096
# UTF-8 never contains this byte, and neither does a line: a value bound to both is bound to no other key.
_BINDING = b"\xfe"
_LINE = re.compile(rb"~e1:(\d{0,18}):(\d{0,18}):((?:[\w-]+=[\w-]+(?:,(?=[\w-])|(?=\n)))*)\n")


class Label(NamedTuple):
    """What an envelope says of its value. ``expires`` is None for one that has no end, ``tags`` are id and version."""

    took: int = 0
    expires: int | None = None
    tags: tuple[tuple[str, str], ...] = ()

    def line(self) -> bytes:
        """Return the label as the first line of an envelope, its end included."""
        tags = ",".join(f"{tag}={version}" for tag, version in self.tags)
        return f"~e1:{self.took}:{'' if self.expires is None else self.expires}:{tags}\n".encode()


class Opened(NamedTuple):
    """An envelope's label, its line, and the stored form of its value."""

    label: Label
    line: bytes
    inner: bytes

    def context(self, key: bytes) -> bytes:
        """Return what the signature of the value binds it to."""
        return bound(key, self.line)


class EncodedEnvelope(Encoded):
    """An envelope whose line stays text whatever the value's bytes are."""

    __slots__ = ()

    def as_text(self) -> str:
        line, end, inner = self.partition(b"\n")
        return (line + end).decode() + Encoded(inner).as_text()


def bound(key: bytes, line: bytes) -> bytes:
    """Return what a value under ``key`` in an envelope with this first line is signed for."""
    return key + _BINDING + line


def sealed(line: bytes, inner: bytes) -> bytes:
    """Return the envelope with this first line around a stored value."""
    kind = EncodedEnvelope if isinstance(inner, Encoded) else bytes
    return kind(line + inner)


def opened(stored: bytes) -> Opened | None:
    """Return what an envelope holds, or None for anything else."""
    found = _LINE.match(stored, 0, LONGEST_LINE)
    if found is None:
        return None
    took, expires, tags = found.groups()
    parted = (pair.partition("=") for pair in tags.decode().split(",") if pair)
    pairs = tuple((tag, version) for tag, _, version in parted)
    label = Label(int(took or 0), int(expires) if expires else None, pairs)
    return Opened(label, found.group(), stored[found.end() :])
