"""How payloads become text, which every route carries alike, and come back."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Protocol

from django_upstash.codecs.signing import HEADER_SIZE, SIGNED, Signer
from django_upstash.exceptions import DataError
from django_upstash.settings import conf

_TAG_FROM = len(SIGNED) + 1
_TAG_LENGTH = 2 * (HEADER_SIZE - _TAG_FROM)  # as hexadecimal


class Codec(Protocol):
    """``context`` is the queue's name and the job's id: what a payload may be bound to."""

    def encode(self, payload: Any, context: str) -> str:
        """Return the payload as text; raise ``DataError`` for one that has no such form."""

    def decode(self, text: str, context: str) -> Any:
        """Return the payload; raise ``DataError`` for an invalid text."""


class JSONCodec:
    """Payloads as JSON: readable by operators and by other languages, and never code."""

    def encode(self, payload: Any, context: str) -> str:
        try:
            return json.dumps(payload, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise DataError(f"A job's payload must be what JSON can carry: {error}.") from None

    def decode(self, text: str, context: str) -> Any:
        try:
            return json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError):  # RecursionError: deeper than anything that was encoded here
            raise DataError("The payload of a job is not JSON: something else wrote it.") from None


class SignedJSONCodec(JSONCodec):
    """JSON that only this site can have written, for this queue and this job: a keyed tag of 32 digits precedes it."""

    def encode(self, payload: Any, context: str) -> str:
        text = super().encode(payload, context)
        signed = _signer(conf.signing_secrets()).sign(text.encode(), context.encode("utf-8", "surrogatepass"))
        return signed[_TAG_FROM:HEADER_SIZE].hex() + text

    def decode(self, text: str, context: str) -> Any:
        signer = _signer(conf.signing_secrets())
        try:
            stored = signer.header + bytes.fromhex(text[:_TAG_LENGTH]) + text[_TAG_LENGTH:].encode()
        except ValueError:
            stored = b""
        payload = signer.verify(stored, context.encode("utf-8", "surrogatepass"))
        if payload is None:
            raise DataError("The payload of a job is not signed by this site: something else wrote it.")
        return super().decode(payload.decode(), context)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON.")


@lru_cache(maxsize=4)
def _signer(secrets: tuple[str | bytes, ...]) -> Signer:
    return Signer(secrets, "queue", b"j")
