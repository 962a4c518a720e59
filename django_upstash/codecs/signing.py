"""Signatures over stored pickles, so that only what this site wrote is ever unpickled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import blake2b
from hmac import compare_digest

from django.utils.encoding import force_bytes

# Neither UTF-8, nor a pickle, nor a compressed stream begins with this byte.
SIGNED = b"\xf9"
TAG_SIZE = 16
HEADER_SIZE = len(SIGNED) + 1 + TAG_SIZE
# UTF-8 never contains this byte, so it ends a key or a prefix without ambiguity, as a length would.
END = b"\xff"
_PURPOSE = b"upstash values 1"


class Signer:
    """
    Signs payloads of one format in one key space, and verifies them.

    A signed value is the byte F9, one byte naming the format of the payload, a 16-byte keyed BLAKE2b tag, and the
    payload. The tag covers the format, the key space's prefix, the key without its version (a value may be moved to
    another version), and the payload. The first secret signs; all of them verify.
    """

    __slots__ = ("_fallbacks", "header", "new_tag")

    def __init__(self, secrets: Sequence[str | bytes], prefix: str, payload_format: bytes) -> None:
        context = payload_format + prefix.encode() + END
        first, *others = (_tag_over(secret, context) for secret in secrets)
        self.header = SIGNED + payload_format
        # A copy of this, updated with the key, END and the payload, digests to the tag. Codecs inline just that.
        self.new_tag: Callable[[], blake2b] = first.copy
        self._fallbacks = [other.copy for other in others]

    def sign(self, payload: bytes, key: bytes) -> bytes:
        return self.header + _digest(self.new_tag, payload, key) + payload

    def verify(self, stored: bytes, key: bytes) -> bytes | None:
        """Return the payload of a signed value, or None where no secret made its tag for this key."""
        if not stored.startswith(self.header):
            return None
        tag, payload = stored[2:HEADER_SIZE], stored[HEADER_SIZE:]
        for new_tag in (self.new_tag, *self._fallbacks):
            if compare_digest(_digest(new_tag, payload, key), tag):
                return payload
        return None


def _digest(new_tag: Callable[[], blake2b], payload: bytes, key: bytes) -> bytes:
    tag = new_tag()
    tag.update(key + END)
    tag.update(payload)
    return tag.digest()


def _tag_over(secret: str | bytes, context: bytes) -> blake2b:
    return blake2b(context, key=_signing_key(force_bytes(secret)), digest_size=TAG_SIZE)


@lru_cache(maxsize=64)
def _signing_key(secret: bytes) -> bytes:
    return blake2b(secret, digest_size=32, person=_PURPOSE).digest()
