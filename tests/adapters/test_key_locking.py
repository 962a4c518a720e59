"""Upstash's rate limits, and scripts with its key-locking flag, through the SDK's client on every route."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import sha1
from typing import Any

import pytest
import upstash_ratelimit
import upstash_ratelimit.asyncio

from django_upstash.connections import Connection
from tests.servers import Server, ServerMissing, start_redis

FLAGGED = "#!lua flags=allow-key-locking\nreturn {KEYS[1], ARGV[1]}"
READING = "#!lua name=x flags=no-writes,allow-key-locking\nreturn redis.call('GET', KEYS[1])"
LIMITS: dict[str, Callable[[Any], Any]] = {
    "fixed window": lambda library: library.FixedWindow(max_requests=2, window=3600),
    "sliding window": lambda library: library.SlidingWindow(max_requests=2, window=3600),
    "token bucket": lambda library: library.TokenBucket(max_tokens=2, refill_rate=1, interval=3600),
}


def digest(script: str) -> str:
    return sha1(script.encode()).hexdigest()


@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)
def test_ratelimit__decides(connection: Connection, limit: Callable[[Any], Any]) -> None:
    limiter = upstash_ratelimit.Ratelimit(redis=connection.upstash, limiter=limit(upstash_ratelimit))
    assert [limiter.limit("ann").allowed for _ in range(4)] == [True, True, False, False]
    assert limiter.get_remaining("ann") == 0
    assert limiter.limit("bob").allowed


@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)
def test_ratelimit__decides_for_tasks(connection: Connection, limit: Callable[[Any], Any]) -> None:
    async def decide() -> list[bool]:
        library = upstash_ratelimit.asyncio
        limiter = library.Ratelimit(redis=connection.async_upstash, limiter=limit(library))
        return [(await limiter.limit("ann")).allowed for _ in range(4)]

    assert asyncio.run(decide()) == [True, True, False, False]


def test_scripts__are_known_by_the_digest_of_what_was_given(connection: Connection) -> None:
    client = connection.upstash
    assert client.script_load(FLAGGED) == digest(FLAGGED)
    assert client.evalsha(digest(FLAGGED), keys=["k"], args=["a"]) == ["k", "a"]
    assert client.evalsha(digest(FLAGGED).upper(), keys=["k"], args=["a"]) == ["k", "a"]
    assert client.script_exists(digest(FLAGGED), "0" * 40) == [True, False]


def test_scripts__run_before_are_known(connection: Connection) -> None:
    client = connection.upstash
    assert client.eval(FLAGGED, keys=["k"], args=["a"]) == ["k", "a"]
    assert client.evalsha(digest(FLAGGED), keys=["k"], args=["b"]) == ["k", "b"]


def test_scripts__keep_their_other_flags(connection: Connection) -> None:
    client = connection.upstash
    writing = READING.replace("'GET', KEYS[1]", "'SET', KEYS[1], '1'").replace(" name=x", "")
    with pytest.raises(Exception, match=r"(?i)write commands are not allowed"):
        client.eval(writing, keys=["k"])


def test_scripts__in_a_pipeline(connection: Connection) -> None:
    pipeline = connection.upstash.pipeline()
    pipeline.set("k", "v")
    pipeline.eval(FLAGGED, keys=["k"], args=["a"])
    pipeline.script_load(FLAGGED)
    assert pipeline.exec() == [True, ["k", "a"], digest(FLAGGED)]


def test_scripts__in_a_transaction(connection: Connection) -> None:
    connection.capabilities.key_locking = connection.settings.route == "rest"
    transaction = connection.upstash.multi()
    transaction.eval(FLAGGED, keys=["k"], args=["a"])
    transaction.evalsha(digest(FLAGGED), keys=["k"], args=["b"])
    assert transaction.exec() == [["k", "a"], ["k", "b"]]


@pytest.mark.parametrize("is_awaited", [False, True])
def test_flag__that_a_server_turns_out_not_to_know(valkey: Server, upstash: Any, is_awaited: bool) -> None:
    from django_upstash.settings.conf import make_settings

    connection = Connection(make_settings("native", upstash["native"]))
    connection.capabilities.key_locking = True
    with valkey.counting() as counted:
        for number in "12":
            if is_awaited:
                found = asyncio.run(connection.async_upstash.eval(FLAGGED, keys=["k"], args=[number]))
            else:
                found = connection.upstash.eval(FLAGGED, keys=["k"], args=[number])
            assert found == ["k", number]
    assert counted.by_command["eval"] <= 3  # one was refused
    assert connection.capabilities.key_locking is False
    connection.close()


def test_flag__on_redis(settings: Any) -> None:
    from django_upstash.settings.conf import make_settings

    try:
        with start_redis() as server:
            connection = Connection(make_settings("native", {"URL": server.url}))
            assert connection.upstash.eval(FLAGGED, keys=["k"], args=["a"]) == ["k", "a"]
            connection.close()
    except ServerMissing as missing:
        pytest.skip(str(missing))
