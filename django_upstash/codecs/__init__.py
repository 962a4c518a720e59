"""What values look like in the database, the same bytes on every route."""

from __future__ import annotations

from django_upstash.codecs.envelopes import Label, Opened, bound, opened, sealed
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
    "Label",
    "Opened",
    "Unreadable",
    "ValueCodec",
    "bound",
    "decode_field",
    "decode_member",
    "encode_field",
    "encode_member",
    "opened",
    "sealed",
    "signed_codec",
    "unsigned_codec",
]
