"""What the methods on sets, hashes, sorted sets and lists share: they run the client's method of the same name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

from django_upstash.cache.connected_cache import ConnectedCache
from django_upstash.cache.empty_results import COLLECTION_FALLBACKS, ignorable
from django_upstash.cache.failover import Defaults, Failover, away, raise_congestion


class MemberMethods(ConnectedCache):
    """
    Runs a method of the client, which a project's own ``CLIENT_CLASS`` may override, by ``ON_FAILURE``.

    Keyword arguments that are None are left out, so that the override need not have them.
    """

    def _members(self, name: str, /, *args: Any, **options: Any) -> Any:
        kwargs = {option: value for option, value in options.items() if value is not None}
        try:
            method = getattr(self.client, name)
            failover = self.failover
            found = method(*args, **kwargs) if failover is None else self._watched(failover, method, args, kwargs)
        except ignorable() as error:
            return self.fall_back(error, COLLECTION_FALLBACKS[name], args, kwargs)
        return self._guarded(found) if isinstance(found, Iterator) else found

    async def _amembers(self, name: str, /, *args: Any, **options: Any) -> Any:
        kwargs = {option: value for option, value in options.items() if value is not None}
        from django_upstash.cache.replay import rehearsed  # imports redis-py

        try:
            operation = rehearsed(self.client, name, args, kwargs)
            return await self._members_runner.arun(operation) if operation.commands else operation.parse([])
        except ignorable() as error:
            return self.fall_back(error, COLLECTION_FALLBACKS[name], args, kwargs)

    def _watched(self, failover: Defaults | Failover, method: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        failover.require()
        started = perf_counter()
        try:
            found = method(*args, **kwargs)
        except away() as error:
            raise_congestion(error, self.connection.availability)
            failover.failed(error, started)
            raise
        failover.answered()
        return found

    def _guarded(self, items: Iterator[Any]) -> Iterator[Any]:
        try:
            yield from items
        except ignorable() as error:
            self.fall_back(error, lambda: None, (), {})
