"""Rows of the REST route, against the Upstash SDK on text of the same size, in the client's CPU time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import upstash_redis
from django.core.cache import caches

from benchmarks.peers import LIFETIME, MANY, OURS_REST, SDK, TEXT, full_key
from benchmarks.rounds import Row, burst_of
from benchmarks.servers import RestAddress
from django_upstash.connections import connections
from django_upstash.operations import Operation, checked

_KEYS = [full_key(key) for key in MANY]


def rows(stack: ExitStack, rest: RestAddress) -> Iterator[Row]:
    """Yield the rows. The connection and the SDK's pipelines read the same keys."""
    client = stack.enter_context(upstash_redis.Redis(rest.url, rest.token))
    for size, text in (("100 B", TEXT), ("100 KB", TEXT * 1000)):
        yield _get_row(client, size, text)
    yield _pipeline_row(client)


def _get_row(client: upstash_redis.Redis, size: str, text: str) -> Row:
    key = f"text of {size}"
    caches[OURS_REST].set(key.replace(" ", "-"), text)
    client.set(full_key(key), text, ex=LIFETIME)
    calls = {OURS_REST: partial(caches[OURS_REST].get, key.replace(" ", "-")), SDK: partial(client.get, full_key(key))}
    if any(call() != text for call in calls.values()):
        raise RuntimeError("A client of the REST server does not get what was stored.")
    return Row(f"REST get {size}", {name: burst_of(call) for name, call in calls.items()}, measure="cpu")


def _pipeline_row(client: upstash_redis.Redis) -> Row:
    operation = Operation([("GET", key) for key in _KEYS], checked)

    def pipeline() -> object:
        commands = client.pipeline()
        for key in _KEYS:
            commands.get(key)
        return commands.exec()

    calls: dict[str, Callable[[], object]] = {OURS_REST: partial(connections["rest"].run, operation), SDK: pipeline}
    return Row("REST pipeline(100) 100 B", {name: burst_of(call) for name, call in calls.items()}, measure="cpu")
