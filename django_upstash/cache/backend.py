"""Django's cache on Upstash."""

from __future__ import annotations

from typing import Any

from django_upstash.cache.failover_state import outages
from django_upstash.cache.methods.bulk_work import BulkMethods
from django_upstash.cache.methods.computed import ComputedMethods
from django_upstash.cache.methods.hashes import HashMethods
from django_upstash.cache.methods.keys import KeyMethods
from django_upstash.cache.methods.lists import ListMethods
from django_upstash.cache.methods.sets import SetMethods
from django_upstash.cache.methods.sorted_sets import SortedSetMethods
from django_upstash.cache.methods.values import ValueMethods
from django_upstash.cache.near_cache import LocalStats, tiers
from django_upstash.observability import numbers
from django_upstash.observability.numbers import Stats


class UpstashCache(
    ValueMethods, KeyMethods, ComputedMethods, BulkMethods, HashMethods, ListMethods, SetMethods, SortedSetMethods
):
    """
    django-redis' ``RedisCache`` on a connection of this package, natively or over REST.

    ``LOCATION`` is the name of a connection in ``UPSTASH``, or a URL. Every method Django gives a cache, and each of
    django-redis' on keys, runs as one operation, and has an asynchronous twin whose name begins with "a". Cache
    objects hold no connection of their own: they are made for every thread and task, and closing one closes nothing.
    """

    @property
    def backend_in_use(self) -> str:
        """What answers at present: "server"; in an outage "memory" or "default", as ``ON_FAILURE`` says."""
        if self.failover is None:
            return "server"
        found = outages.of(self.connection, self.key_prefix).backend
        # Another user of the connection may have found the server away, and nobody has asked this cache since.
        return self.options.on_failure if found == "server" and not self.connection.availability.is_up else found

    def local_stats(self) -> LocalStats:
        """Return what the near tier of this process has answered, and how many commands that saved."""
        local = self.options.near_cache
        return LocalStats() if local is None else tiers.of(self.connection, self.key_prefix, local).stats()

    def stats(self, *, all_processes: bool = False) -> Stats:
        """
        Return what all caches on this connection have asked, and what a month of that costs.

        With ``all_processes``, leave this process' counts on the server and sum those left there, in three commands.
        """
        if not all_processes:
            return numbers.stats(self.connection)
        self.connection.run(numbers.publishing(self.connection))
        return self.connection.run(numbers.collecting())

    def close(self, **kwargs: Any) -> None:
        """Do nothing: the connection belongs to the process, and stays open for the next request."""

    async def aclose(self, **kwargs: Any) -> None:
        """Do nothing, in no thread either; Django's own would start one."""
