"""Requests and commands, as the servers count them: exact, whatever the machine does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

from django.core.cache import caches
from django.core.cache.backends.base import BaseCache

from benchmarks.peers import ABSENT, COUNTER, KEY, LIFETIME, MANY, OURS_REST, SIGNED
from benchmarks.servers import RestAddress
from django_upstash.connections import Connection
from django_upstash.operations import command
from django_upstash.settings.conf import make_settings
from tests.servers import Server, start_valkey

Counts: TypeAlias = dict[str, Any]
_NUMBERS = dict.fromkeys(MANY, 1)  # short, so that one read of the server takes in all of them

OPERATIONS: Mapping[str, Callable[[BaseCache], object]] = {
    "get": lambda cache: cache.get(KEY),
    "set": lambda cache: cache.set(KEY, 1),
    "add": lambda cache: cache.add(KEY, 1),
    "touch": lambda cache: cache.touch(KEY, LIFETIME),
    "delete": lambda cache: cache.delete(ABSENT),
    "has_key": lambda cache: cache.has_key(KEY),
    "incr": lambda cache: cache.incr(COUNTER),
    "get_or_set, found": lambda cache: cache.get_or_set(KEY, 1),
    "get_many(100)": lambda cache: cache.get_many(_NUMBERS),
    "set_many(100)": lambda cache: cache.set_many(_NUMBERS),
    "delete_many(100)": lambda cache: cache.delete_many(_NUMBERS),
    "100 gathered aget": lambda cache: asyncio.run(_gather(cache)),
}


def counts(server: Server, rest: RestAddress) -> Counts:
    """Return what each operation costs on each route once the connection knows the server."""
    return {
        "native": {name: _native(server, operation) for name, operation in OPERATIONS.items()},
        "rest": {name: _rest(rest, operation) for name, operation in OPERATIONS.items()},
        "native, new connection with a password": _new_connection(),
    }


async def _gather(cache: BaseCache) -> list[Any]:
    return await asyncio.gather(*[cache.aget(key) for key in MANY])


def _native(server: Server, operation: Callable[[BaseCache], object]) -> Counts:
    cache = caches[SIGNED]
    operation(cache)
    with _counting(server) as counted:
        operation(cache)
    return {"requests": counted["requests"], "commands": counted["by_command"].total()}


def _rest(rest: RestAddress, operation: Callable[[BaseCache], object]) -> Counts:
    cache = caches[OURS_REST]
    operation(cache)
    before = rest.meter()
    operation(cache)
    after = rest.meter()
    return {name: after[name] - before[name] for name in ("requests", "commands")}


def _new_connection() -> Counts:
    with start_valkey(requirepass="benchmark") as server:
        url = server.tcp_url.replace("//", "//:benchmark@")
        connection = Connection(make_settings("new", {"URL": url}))
        with _counting(server) as counted:
            connection.run(command("GET", KEY))
        connection.close()
    return {"requests": counted["requests"], "commands": dict(counted["by_command"])}


@contextmanager
def _counting(server: Server) -> Iterator[Counts]:
    """Count the commands run, and the requests: each is one read of the server's."""
    counted: Counts = {}
    before = _reads(server)
    with server.counting() as counts:
        yield counted
    own = 3  # two reads by counting(), and one by the next line
    counted["requests"] = _reads(server) - before - own
    counted["by_command"] = counts.by_command


def _reads(server: Server) -> int:
    lines = server.call("INFO", "stats").decode().splitlines()
    (reads,) = (line.partition(":")[2] for line in lines if line.startswith("total_reads_processed:"))
    return int(reads)
