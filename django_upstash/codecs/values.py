"""
Values under a key of their own: ints as plain decimals, everything else serialized, compressed, signed.

An int within 64 bits is plain decimal text, which INCR understands. A pickle is signed, so that what somebody else
wrote into the database is a miss and never code. JSON and msgpack are data, not code: they are not signed, and their
bytes are django-redis'.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Sequence
from functools import partial
from hmac import compare_digest
from typing import Any, NamedTuple, Protocol, TypeAlias

from django_upstash.callbacks import WrongResultError
from django_upstash.codecs.envelopes import MARK as ENVELOPE
from django_upstash.codecs.envelopes import opened
from django_upstash.codecs.pickles import PickleSerializer
from django_upstash.codecs.signing import END, HEADER_SIZE, Signer
from django_upstash.codecs.text import MARK, Encoded, marked, unmarked
from django_upstash.log import get_logger

Dumps: TypeAlias = Callable[[Any, bytes], bytes]
Loads: TypeAlias = Callable[[bytes, bytes, Any], Any]
PayloadReader: TypeAlias = Callable[[bytes, bytes], bytes | None]

PICKLE = b"\x01"
COMPRESSED_PICKLE = b"\x02"

logger = get_logger("django_upstash.codecs")
_reasons_seen: set[str] = set()
_LEAST_INT, _MOST_INT = -(2**63), 2**63 - 1  # what INCR counts with
_MOST_INT_BITS = 2048  # what Python prints and reads however low its limit of digits is set
_INT_BEGINNINGS = frozenset(b"-0123456789")
_PICKLE_BEGINNING = 0x80
_ENVELOPE_BEGINNING = ENVELOPE[0]


class Serializer(Protocol):
    """What django-redis asks of ``OPTIONS["SERIALIZER"]``."""

    def dumps(self, value: Any) -> bytes: ...
    def loads(self, value: bytes) -> Any: ...


class Compressor(Protocol):
    """What django-redis asks of ``OPTIONS["COMPRESSOR"]``."""

    def compress(self, value: bytes) -> bytes: ...
    def decompress(self, value: bytes) -> bytes: ...


class ValueCodec(NamedTuple):
    """
    The way to the stored form and back.

    ``dumps(value, key)`` returns the stored form; ``loads(stored, key, default)`` returns the value, and ``default``
    for anything that is not a value of this codec under this key. ``key`` is the key without prefix and version, in
    UTF-8: a signed value is one only under the key it was written to. A value in an envelope is read as any other,
    unless it has tags: whether those are valid, only the server knows.
    """

    dumps: Dumps
    loads: Loads

    def text_safe(self) -> ValueCodec:
        """Return the codec for a route over REST, whose stored forms know how to travel as text."""
        dumps = self.dumps

        return self._replace(dumps=lambda value, key: Encoded(dumps(value, key)))


def signed_codec(
    serializer: Serializer, compressor: Compressor | None, secrets: Sequence[str | bytes], prefix: str
) -> ValueCodec:
    """Return the codec that signs what the serializer made; nothing unsigned reaches the serializer."""
    signer, compressed_signer = (Signer(secrets, prefix, mark) for mark in (PICKLE, COMPRESSED_PICKLE))
    serialize, deserialize = _functions(serializer)
    payload_of = _payload_reader(signer, compressed_signer, compressor)
    return ValueCodec(
        _signed_dumps(signer, compressed_signer, compressor, serialize),
        _signed_loads(signer, deserialize, _loads_other(payload_of, deserialize)),
    )


# Signing and verifying are written out in these two: every value goes through them.
def _signed_dumps(
    signer: Signer, compressed_signer: Signer, compressor: Compressor | None, serialize: Callable[[Any], bytes]
) -> Dumps:
    header, new_tag = signer.header, signer.new_tag

    def dumps(value: Any, key: bytes) -> bytes:
        if type(value) is int and _LEAST_INT <= value <= _MOST_INT:
            return b"%d" % value
        payload = serialize(value)
        if compressor is not None:
            packed = compressor.compress(payload)
            if packed is not payload:
                return compressed_signer.sign(packed, key)
        tag = new_tag()
        tag.update(key + END)
        tag.update(payload)
        return header + tag.digest() + payload

    return dumps


def _signed_loads(signer: Signer, deserialize: Callable[[bytes], Any], loads_other: Loads) -> Loads:
    header, new_tag = signer.header, signer.new_tag

    def loads(stored: bytes, key: bytes, default: Any) -> Any:
        if stored[:2] != header:
            return loads_other(stored, key, default)
        payload = stored[HEADER_SIZE:]
        tag = new_tag()
        tag.update(key + END)
        tag.update(payload)
        if not compare_digest(tag.digest(), stored[2:HEADER_SIZE]):
            return loads_other(stored, key, default)
        try:
            return deserialize(payload)
        except WrongResultError:
            raise
        except Exception as error:  # whatever a class does when it is made again
            return _miss(_cannot_read(error), default)

    return loads


def _payload_reader(signer: Signer, compressed_signer: Signer, compressor: Compressor | None) -> PayloadReader:
    """Return the function that reads the payload of any signed form; None for what this site has not signed."""

    def payload_of(stored: bytes, key: bytes) -> bytes | None:
        payload = signer.verify(stored, key)
        if payload is not None or compressor is None:
            return payload
        packed = compressed_signer.verify(stored, key)
        return None if packed is None else compressor.decompress(packed)

    return payload_of


def _loads_other(payload_of: PayloadReader, deserialize: Callable[[bytes], Any]) -> Loads:
    """Return the reader of all but signed pickles: ints, envelopes, marked text, older secrets, compressed."""

    def loads(stored: bytes, key: bytes, default: Any) -> Any:
        if stored and stored[0] in _INT_BEGINNINGS and (plain := _int(stored)) is not None:
            return plain
        if stored.startswith(ENVELOPE):
            return _loads_enveloped(loads, stored, key, default)
        try:
            payload = payload_of(unmarked(stored), key)
            if payload is None:
                return _miss("it is not signed with this site's SECRET_KEY for this key", default)
            return deserialize(payload)
        except WrongResultError:
            raise
        except Exception as error:
            return _miss(_cannot_read(error), default)

    return loads


def unsigned_codec(serializer: Serializer, compressor: Compressor | None) -> ValueCodec:
    """Return the codec whose stored bytes are django-redis' own."""
    serialize, deserialize = _functions(serializer)
    return ValueCodec(_unsigned_dumps(serialize, compressor), _unsigned_loads(deserialize, compressor))


def _unsigned_dumps(serialize: Callable[[Any], bytes], compressor: Compressor | None) -> Dumps:
    def dumps(value: Any, key: bytes) -> bytes:
        if type(value) is int and value.bit_length() <= _MOST_INT_BITS:
            return b"%d" % value
        payload = serialize(value)
        if compressor is not None:
            payload = compressor.compress(payload)
        return marked(payload) if payload.startswith((MARK, ENVELOPE)) else payload

    return dumps


def _unsigned_loads(deserialize: Callable[[bytes], Any], compressor: Compressor | None) -> Loads:
    # A pickle says so in its first byte, and is read without another look where nothing compresses.
    fast_beginning = _PICKLE_BEGINNING if deserialize is pickle.loads and compressor is None else None

    def loads(stored: bytes, key: bytes, default: Any) -> Any:
        try:
            first = stored[0] if stored else None
            if first == fast_beginning:
                return deserialize(stored)
            if first in _INT_BEGINNINGS and (plain := _int(stored)) is not None:
                return plain
            if first == _ENVELOPE_BEGINNING and stored.startswith(ENVELOPE):
                return _loads_enveloped(loads, stored, key, default)
            payload = unmarked(stored)
            return deserialize(payload if compressor is None else _decompress(compressor, payload))
        except WrongResultError:
            raise
        except Exception as error:
            return _miss(_cannot_read(error), default)

    return loads


def _loads_enveloped(loads: Loads, stored: bytes, key: bytes, default: Any) -> Any:
    found = opened(stored)
    if found is None or found.inner.startswith(ENVELOPE):
        return _miss("its envelope is damaged", default)
    return default if found.label.tags else loads(found.inner, found.context(key), default)


def _functions(serializer: Serializer) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    if type(serializer) is not PickleSerializer:
        return serializer.dumps, serializer.loads
    if serializer.protocol == pickle.DEFAULT_PROTOCOL:
        return pickle.dumps, pickle.loads
    return partial(pickle.dumps, protocol=serializer.protocol), pickle.loads


def _decompress(compressor: Compressor, payload: bytes) -> bytes:
    from django_redis.exceptions import CompressorError  # type: ignore[import-untyped]

    try:
        return compressor.decompress(payload)
    except CompressorError:
        return payload  # too short to have been compressed


def _int(stored: bytes) -> int | None:
    try:
        return int(stored)
    except ValueError:
        return None


def _cannot_read(error: Exception) -> str:
    # Only the kind: the text of an error may quote the value.
    return f"reading it ended in {type(error).__name__}"


def _miss(reason: str, default: Any) -> Any:
    level = logging.DEBUG if reason in _reasons_seen else logging.WARNING
    _reasons_seen.add(reason)
    logger.log(level, "A stored value counts as missing: %s.", reason)
    return default
