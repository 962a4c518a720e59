"""
What a session looks like in the database: a line about it and its data, signed or encrypted for one key.

    s1.<tag>.<line>\\n<data>                signed; the data is text
    b1.<tag>.<base64 of the same>          signed; a serializer that makes other bytes
    e1.<base64 of nonce and ciphertext>    encrypted

Every form is text, so that it is the same on every route and compares as it is. Tag and ciphertext cover the name of
the key: a body under another key is no session.
"""

from __future__ import annotations

import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from hmac import compare_digest

from django.utils.encoding import force_bytes

TAG_SIZE = 16
_NONCE_SIZE = 12
_SIGNING = b"upstash sessions"
_ENCRYPTING = b"session bodies 1"
_DAMAGED = "its base64 is damaged"
_TEXT, _BINARY, _ENCRYPTED = b"s1", b"b1", b"e1"


class Rejected(Exception):
    """A stored body that is no session of this site under this key; the text says why, and shows nothing of it."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """
    One session as it is stored. Times are Unix times, and ``lifetime`` a duration, in milliseconds.

    ``created`` is when it began, or when its user logged in; ``owner`` is the user in whose index it stands.
    """

    created: int = 0
    saved: int = 0
    lifetime: int = 0
    ip_address: str = ""
    user_agent: str = ""
    owner: str = ""
    payload: bytes = b""

    def packed(self) -> bytes:
        line = (self.created, self.saved, self.lifetime, self.ip_address, self.user_agent, self.owner)
        return json.dumps(line, separators=(",", ":")).encode() + b"\n" + self.payload

    @classmethod
    def unpacked(cls, packed: bytes) -> Record:
        line, _, payload = packed.partition(b"\n")
        created, saved, lifetime, ip_address, user_agent, owner = json.loads(line)
        return cls(
            created=created,
            saved=saved,
            lifetime=lifetime,
            ip_address=ip_address,
            user_agent=user_agent,
            owner=owner,
            payload=payload,
        )


class Sealer:
    """
    Seals records for the name of their key, and opens what was sealed.

    The first of ``secrets`` signs, and all of them verify. Where there are ``encryption_keys``, the first of them
    encrypts, and all of them decrypt; what was only signed is still read.
    """

    def __init__(self, secrets: Sequence[str | bytes], encryption_keys: Sequence[bytes] = ()) -> None:
        self._signing_keys = tuple(map(_signing_key, secrets))
        self._encryption_keys = tuple(encryption_keys)

    def seal(self, name: str, record: Record) -> bytes:
        packed = record.packed()
        if self._encryption_keys:
            return _ENCRYPTED + b"." + urlsafe_b64encode(_encrypted(self._encryption_keys[0], name, packed))
        form = _TEXT if _is_text(packed) else _BINARY
        shown = packed if form is _TEXT else urlsafe_b64encode(packed)
        return b".".join((form, _tag(self._signing_keys[0], name, form, shown), shown))

    def open(self, name: str, body: bytes) -> Record:
        """Return what was sealed for this name; raise ``Rejected`` for anything else."""
        form, _, rest = body.partition(b".")
        if form == _ENCRYPTED:
            packed = self._decrypted(name, _decoded(rest))
        elif form in (_TEXT, _BINARY):
            packed = self._verified(name, form, rest)
        else:
            raise Rejected("it was not written by this session engine")
        return Record.unpacked(packed)

    def _verified(self, name: str, form: bytes, rest: bytes) -> bytes:
        tag, _, shown = rest.partition(b".")
        for key in self._signing_keys:
            if compare_digest(_tag(key, name, form, shown), tag):
                return shown if form == _TEXT else _decoded(shown)
        raise Rejected("it is not signed with this site's SECRET_KEY for this key")

    def _decrypted(self, name: str, data: bytes) -> bytes:
        for key in self._encryption_keys:
            packed = _decrypted(key, name, data)
            if packed is not None:
                return packed
        raise Rejected("none of this site's ENCRYPTION_KEYS decrypts it for this key")


def _signing_key(secret: str | bytes) -> bytes:
    return blake2b(force_bytes(secret), digest_size=32, person=_SIGNING).digest()


def _tag(key: bytes, name: str, form: bytes, shown: bytes) -> bytes:
    # UTF-8 has no FF byte, so it ends the name without ambiguity.
    tag = blake2b(form + name.encode() + b"\xff" + shown, key=key, digest_size=TAG_SIZE)
    return urlsafe_b64encode(tag.digest()).rstrip(b"=")


def _encrypted(key: bytes, name: str, packed: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE_SIZE)
    return nonce + AESGCM(_key_of(key, name)).encrypt(nonce, packed, name.encode())


def _decrypted(key: bytes, name: str, data: bytes) -> bytes | None:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce, ciphertext = data[:_NONCE_SIZE], data[_NONCE_SIZE:]
    try:
        return AESGCM(_key_of(key, name)).decrypt(nonce, ciphertext, name.encode())
    except (InvalidTag, ValueError):  # ValueError: too short for a nonce
        return None


def _key_of(key: bytes, name: str) -> bytes:
    """Return a session's own key: random nonces under one key for all would be too many for GCM in the end."""
    return blake2b(name.encode(), key=key, digest_size=32, person=_ENCRYPTING).digest()


def _is_text(packed: bytes) -> bool:
    try:
        packed.decode()
    except UnicodeDecodeError:
        return False
    return True


def _decoded(text: bytes) -> bytes:
    try:
        data = urlsafe_b64decode(text)
    except ValueError:
        raise Rejected(_DAMAGED) from None
    if urlsafe_b64encode(data) != text:  # Python's decoder passes over what is no base64
        raise Rejected(_DAMAGED)
    return data
