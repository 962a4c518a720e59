"""What values look like in the database, the same bytes on every route."""

from __future__ import annotations

from django_upstash.codecs.members import (
    UNREADABLE,
    Unreadable,
    decode_field,
    decode_member,
    encode_field,
    encode_member,
)
from django_upstash.codecs.text import Encoded
from django_upstash.codecs.values import ValueCodec, signed_codec, unsigned_codec

__all__ = [
    "UNREADABLE",
    "Encoded",
    "Unreadable",
    "ValueCodec",
    "decode_field",
    "decode_member",
    "encode_field",
    "encode_member",
    "signed_codec",
    "unsigned_codec",
]
