"""The cache's methods for any number of keys, which take them piece by piece from any iterable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT

from django_upstash.cache import bulk
from django_upstash.cache.connected_cache import ConnectedCache


class BulkMethods(ConnectedCache):
    """Warming a cache and touching keys in requests of a bounded size."""

    def warm(
        self,
        items: Mapping[Any, Any] | Iterable[tuple[Any, Any]],
        timeout: Any = DEFAULT_TIMEOUT,
        version: Any = None,
        *,
        chunk: int = bulk.CHUNK,
        progress: bulk.Progress | None = None,
    ) -> int:
        """
        Store the values of a mapping, or of any iterable of pairs, and return how many were stored.

        One request holds ``chunk`` of them, or as many as the server takes. ``progress`` is called after each, with the
        number of pairs that are done with: after an error the next call goes on there, with the pairs from that place.
        """
        stored = done = 0
        for pairs, handled in bulk.stored_pieces(self.keyspace, items, timeout, version, chunk):
            stored += self._run(None, bulk.store, pairs, timeout) if pairs else 0
            done += handled
            bulk.tell(progress, done)
        return stored

    async def awarm(
        self,
        items: Mapping[Any, Any] | Iterable[tuple[Any, Any]],
        timeout: Any = DEFAULT_TIMEOUT,
        version: Any = None,
        *,
        chunk: int = bulk.CHUNK,
        progress: bulk.Progress | None = None,
    ) -> int:
        """Async version of ``warm``."""
        stored = done = 0
        for pairs, handled in bulk.stored_pieces(self.keyspace, items, timeout, version, chunk):
            stored += await self._arun(None, bulk.store, pairs, timeout) if pairs else 0
            done += handled
            bulk.tell(progress, done)
        return stored

    def touch_many(
        self,
        keys: Iterable[Any],
        timeout: Any = DEFAULT_TIMEOUT,
        version: Any = None,
        *,
        chunk: int = bulk.CHUNK,
        progress: bulk.Progress | None = None,
    ) -> int:
        """
        Give the keys a new lifetime, none with ``None``, and return how many of them there are.

        One request holds ``chunk`` of them; ``progress`` is called after each, with the number of keys done with.
        """
        touched = done = 0
        for piece in bulk.key_pieces(self.keyspace, keys, chunk):
            touched += self._run(None, bulk.touch_piece, piece, timeout, version)
            done += len(piece)
            bulk.tell(progress, done)
        return touched

    async def atouch_many(
        self,
        keys: Iterable[Any],
        timeout: Any = DEFAULT_TIMEOUT,
        version: Any = None,
        *,
        chunk: int = bulk.CHUNK,
        progress: bulk.Progress | None = None,
    ) -> int:
        """Async version of ``touch_many``."""
        touched = done = 0
        for piece in bulk.key_pieces(self.keyspace, keys, chunk):
            touched += await self._arun(None, bulk.touch_piece, piece, timeout, version)
            done += len(piece)
            bulk.tell(progress, done)
        return touched
