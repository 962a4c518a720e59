"""Serializers and compressors of a project's own, whose results are looked at."""

from __future__ import annotations

from typing import Any

from django_upstash import callbacks


class CheckedSerializer:
    """A serializer that raises ``TypeError`` for a result of another type, and for an awaitable."""

    def __init__(self, serializer: Any) -> None:
        self._serializer = serializer

    def dumps(self, value: Any) -> bytes:
        return callbacks.data('OPTIONS["SERIALIZER"].dumps', self._serializer.dumps(value))

    def loads(self, value: bytes) -> Any:
        return callbacks.refuse_awaitable('OPTIONS["SERIALIZER"].loads', self._serializer.loads(value))


class CheckedCompressor:
    """A compressor that raises ``TypeError`` for a result that is not bytes."""

    def __init__(self, compressor: Any) -> None:
        self._compressor = compressor

    def compress(self, value: bytes) -> bytes:
        return callbacks.data('OPTIONS["COMPRESSOR"].compress', self._compressor.compress(value))

    def decompress(self, value: bytes) -> bytes:
        return callbacks.data('OPTIONS["COMPRESSOR"].decompress', self._compressor.decompress(value))
