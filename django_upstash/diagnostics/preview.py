"""
Stored values as a line of text that is safe to show.

Nothing is unpickled or decompressed, what may be secret is masked, control characters are escaped, and what is long is
cut. A value is judged by its name and by its first bytes.
"""

from __future__ import annotations

import base64
import re
from codecs import getincrementaldecoder

from django_upstash.codecs.signing import SIGNED
from django_upstash.codecs.text import MARK
from django_upstash.codecs.values import COMPRESSED_PICKLE, PICKLE
from django_upstash.diagnostics.failure import HIDDEN
from django_upstash.diagnostics.formatting import escaped, shortened, size

# How much of a value is asked for; enough to see what it is.
BEGINNING = 256
_LONGEST = 120
_SECRET_WORDS = "session|token|secret|passw|pwd|credential|api[-_]?key|private|signature|csrf|cookie|jwt|otp|auth(?!or)"
_SECRET_NAME = re.compile(_SECRET_WORDS, re.IGNORECASE)
_MASKS = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*", re.DOTALL), HIDDEN),
    (re.compile(r"\beyJ[\w-]{8,}(\.[\w-]*){0,4}"), HIDDEN),  # a JSON web token
    (re.compile(r"(?i)\b(bearer|basic) +\S+"), rf"\1 {HIDDEN}"),
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+@"), rf"\1{HIDDEN}@"),
    (
        re.compile(rf"""(?i)(["']?[\w-]*(?:{_SECRET_WORDS})[\w-]*["']?\s*[:=]\s*)("[^"]*"?|'[^']*'?|[^\s,;&}}]+)"""),
        rf"\1{HIDDEN}",
    ),
)
_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (SIGNED + PICKLE, "signed pickle"),
    (SIGNED + COMPRESSED_PICKLE, "signed pickle, compressed"),
    *((b"\x80" + bytes([protocol]), "pickle (unsigned)") for protocol in range(2, 6)),
    *((b"\x78" + bytes([level]), "zlib-compressed") for level in (0x01, 0x5E, 0x9C, 0xDA)),
    (b"\x1f\x8b", "gzip-compressed"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed"),
    (b"\xfd7zXZ\x00", "lzma-compressed"),
    (b"\x04\x22\x4d\x18", "lz4-compressed"),
)


def is_secret(name: str) -> bool:
    """Tell whether a name says that its value is nobody else's business."""
    return _SECRET_NAME.search(name) is not None


def preview(beginning: bytes, length: int, *, is_masked: bool = False) -> str:
    """Return a line about a value of ``length`` bytes that begins with ``beginning``."""
    described = _kind(beginning)
    if described is not None:
        return f"{described}, {size(length)}"
    text = _text(beginning, is_whole=len(beginning) >= length)
    if text is None:
        return f"binary, {size(length)}"
    if is_masked:
        return f"{HIDDEN} (masked), {size(length)}"
    return _shown(text, is_whole=len(beginning) >= length, length=length)


def _shown(text: str, *, is_whole: bool, length: int) -> str:
    for pattern, replacement in _MASKS:
        text = pattern.sub(replacement, text)
    text = escaped(text)
    if is_whole and len(text) <= _LONGEST:
        return text
    return f"{shortened(text, _LONGEST).removesuffix('…')}… ({size(length)})"


def _kind(beginning: bytes) -> str | None:
    if beginning.startswith(MARK):
        inner = _kind(_decoded(beginning[len(MARK) :]))
        return f"{inner or 'binary'}, as text"
    return next((kind for mark, kind in _BEGINNINGS if beginning.startswith(mark)), None)


def _decoded(text: bytes) -> bytes:
    """Return the bytes at the beginning of base64 that may be cut anywhere."""
    try:
        return base64.b64decode(text[: len(text) // 4 * 4])
    except ValueError:
        return b""


def _text(beginning: bytes, *, is_whole: bool) -> str | None:
    """Return the text, without a character that the cut went through; None if it is not text."""
    try:
        return getincrementaldecoder("utf-8")().decode(beginning, is_whole)
    except UnicodeDecodeError:
        return None
