"""
Stored bodies that only this site can have made, each for the name of its key, and that encryption keys hide.

    s1.<tag>.<data>                        signed; the data is text
    b1.<tag>.<base64 of the data>          signed; other bytes
    e1.<base64 of nonce and ciphertext>    encrypted

Every form is text, so that it is the same on every route and compares as it is. Tag and ciphertext cover the name of
the key: a body stored under another key is rejected.
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import blake2b
from hmac import compare_digest
from typing import NamedTuple

from django.utils.encoding import force_bytes

from django_upstash.credentials import SecretBytes

TAG_SIZE = 16
_NONCE_SIZE = 12
_DAMAGED = "its base64 is damaged"
_TEXT, _BINARY, _ENCRYPTED = b"s1", b"b1", b"e1"


class Rejected(Exception):
    """A stored body that is none of this site's under this key; the text says why, and shows nothing of it."""


class Purpose(NamedTuple):
    """What bodies are sealed for, in 16 bytes at most each: keys of one purpose open nothing of another."""

    signing: bytes
    encrypting: bytes


class Sealer:
    """
    Seals data for the name of its key, and opens what was sealed.

    The first of ``secrets`` signs, and all of them verify. Where there are ``encryption_keys``, the first of them
    encrypts, and all of them decrypt; what was only signed is still read.
    """

    def __init__(self, purpose: Purpose, secrets: Sequence[str | bytes], encryption_keys: Sequence[bytes] = ()) -> None:
        self._purpose = purpose
        self._signing_keys = tuple(_signing_key(purpose, secret) for secret in secrets)
        self._encryption_keys = tuple(encryption_keys)

    def seal(self, name: str, data: bytes) -> bytes:
        if self._encryption_keys:
            return _ENCRYPTED + b"." + urlsafe_b64encode(self._encrypted(self._encryption_keys[0], name, data))
        form = _TEXT if _is_text(data) else _BINARY
        shown = data if form is _TEXT else urlsafe_b64encode(data)
        return b".".join((form, _tag(self._signing_keys[0], name, form, shown), shown))

    def open(self, name: str, body: bytes) -> bytes:
        """Return what was sealed for this name; raise ``Rejected`` for anything else."""
        form, _, rest = body.partition(b".")
        if form == _ENCRYPTED:
            return self._decrypted(name, _decoded(rest))
        if form in (_TEXT, _BINARY):
            return self._verified(name, form, rest)
        raise Rejected("it has no form that is written here")

    def _verified(self, name: str, form: bytes, rest: bytes) -> bytes:
        tag, _, shown = rest.partition(b".")
        for key in self._signing_keys:
            if compare_digest(_tag(key, name, form, shown), tag):
                return shown if form == _TEXT else _decoded(shown)
        raise Rejected("it is not signed with this site's SECRET_KEY for this key")

    def _encrypted(self, key: bytes, name: str, data: bytes) -> bytes:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE_SIZE)
        return nonce + AESGCM(self._key_of(key, name)).encrypt(nonce, data, name.encode())

    def _decrypted(self, name: str, data: bytes) -> bytes:
        for key in self._encryption_keys:
            opened = _opened(self._key_of(key, name), name, data)
            if opened is not None:
                return opened
        raise Rejected("none of this site's ENCRYPTION_KEYS decrypts it for this key")

    def _key_of(self, key: bytes, name: str) -> bytes:
        """Return a name's own key: random nonces under one key for all would be too many for GCM in the end."""
        made = blake2b(name.encode(), key=key, digest_size=32, person=self._purpose.encrypting)
        return SecretBytes(made.digest())


def _signing_key(purpose: Purpose, secret: str | bytes) -> bytes:
    return SecretBytes(blake2b(force_bytes(secret), digest_size=32, person=purpose.signing).digest())


def _tag(key: bytes, name: str, form: bytes, shown: bytes) -> bytes:
    # UTF-8 has no FF byte, so it ends the name without ambiguity.
    tag = blake2b(form + name.encode() + b"\xff" + shown, key=key, digest_size=TAG_SIZE)
    return urlsafe_b64encode(tag.digest()).rstrip(b"=")


def _opened(key: bytes, name: str, data: bytes) -> bytes | None:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce, ciphertext = data[:_NONCE_SIZE], data[_NONCE_SIZE:]
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, name.encode())
    except (InvalidTag, ValueError):  # ValueError: too short for a nonce
        return None


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
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
