"""Encryption keys as settings and environment variables have them. No message shows one."""

from __future__ import annotations

import base64
import binascii
import re

from django_upstash.credentials import SecretBytes
from django_upstash.settings.rules import Rule

KEY_BYTES = 32
KEY_WORDS = "32 random bytes in base64 or hexadecimal, as `openssl rand -base64 32` prints them"


def encryption_key(given: object) -> bytes:
    """
    Return the 32 bytes that are given, or that hexadecimal or base64, plain or URL-safe, spell out.

    Raises ``ValueError`` with the words for what it must be.
    """
    if isinstance(given, str):
        given = _spelled_out(given.strip())
    if not isinstance(given, bytes) or len(given) != KEY_BYTES:
        raise ValueError(KEY_WORDS)
    return SecretBytes(given)


def encryption_keys(id: str, hint: str) -> Rule:
    """Return the rule of a list of keys."""
    return Rule(id, _are_keys, f"a list of keys, each of them {KEY_WORDS}", hint, _keys)


def _keys(given: list[object]) -> tuple[bytes, ...]:
    return tuple(map(encryption_key, given))


def _are_keys(value: object) -> bool:
    if not isinstance(value, list | tuple):
        return False
    try:
        return all(map(encryption_key, value))
    except ValueError:
        return False


def _spelled_out(text: str) -> bytes:
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text)
    padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
    try:
        return base64.b64decode(padded, altchars=b"-_" if re.search("[-_]", text) else None, validate=True)
    except (binascii.Error, ValueError):
        return b""
