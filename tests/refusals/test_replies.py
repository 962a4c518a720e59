"""Replies of any type to any operation end in the documented errors, and in none where none is documented."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.contrib.sessions.backends.base import UpdateError

from django_upstash.breaker import CircuitBreaker
from django_upstash.cache import UpstashCache
from django_upstash.connections import Connection, connections
from django_upstash.exceptions import ProtocolError, UpstashError
from django_upstash.idempotency import IdempotencyStore
from django_upstash.locks import Lock
from django_upstash.operations import command
from django_upstash.queues import Queue
from django_upstash.ratelimit import Concurrency, FixedWindow, RateLimiter, SlidingWindow, TokenBucket
from django_upstash.sessions import SessionStore
from django_upstash.settings.conf import make_settings
from django_upstash.tenants import Tenant
from tests import one_answer

# One reply each, as RESP and as the result in JSON.
REPLIES: dict[str, tuple[bytes, Any]] = {
    "OK": (b"+OK\r\n", "OK"),
    "text": (b"$1\r\nx\r\n", b64encode(b"x").decode()),
    "empty": (b"$0\r\n\r\n", ""),
    "bytes": (b"$2\r\n\xff\x00\r\n", b64encode(b"\xff\x00").decode()),
    "digits": (b"$2\r\n17\r\n", b64encode(b"17").decode()),
    "0": (b":0\r\n", 0),
    "1": (b":1\r\n", 1),
    "-1": (b":-1\r\n", -1),
    "large": (b":9223372036854775807\r\n", 2**63 - 1),
    "nil": (b"$-1\r\n", None),
    "no list": (b"*0\r\n", []),
    "list of nil": (b"*1\r\n$-1\r\n", [None]),
    "list of int": (b"*2\r\n:1\r\n:2\r\n", [1, 2]),
    "list of text": (b"*2\r\n$1\r\nx\r\n$1\r\ny\r\n", [b64encode(b"x").decode(), b64encode(b"y").decode()]),
    "nested": (b"*2\r\n*1\r\n:1\r\n*1\r\n$-1\r\n", [[1], [None]]),
    "scan": (b"*2\r\n$1\r\n0\r\n*1\r\n:1\r\n", [b64encode(b"0").decode(), [1]]),
    "error": (b"-ERR no\r\n", None),
}


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=REPLIES)
def answering(request: pytest.FixtureRequest, route: str, settings: Any) -> Iterator[str]:
    """ "default" is a server that gives one answer to everything; the value is which."""
    wire, result = REPLIES[request.param]
    item = {"error": "ERR no"} if request.param == "error" else {"result": result}
    with one_answer.native(wire) if route == "native" else one_answer.rest(item) as url:
        entry = {"URL": url, **({"TOKEN": "t"} if route == "rest" else {})}
        settings.UPSTASH = {"default": {**entry, "TIMEOUT": 20}}
        settings.UPSTASH_RATELIMIT = {"TIMEOUT": 20}
        yield str(request.param)
        connections.close_all()


def calls(cache: Any) -> dict[str, Callable[[], Any]]:
    return {
        "get": lambda: cache.get("k"),
        "set": lambda: cache.set("k", 1, 60),
        "add": lambda: cache.add("k", 1),
        "touch": lambda: cache.touch("k", 60),
        "touch for good": lambda: cache.touch("k", None),
        "delete": lambda: cache.delete("k"),
        "has_key": lambda: cache.has_key("k"),
        "incr": lambda: cache.incr("k"),
        "incr 1.5": lambda: cache.incr("k", 1.5),
        "incr_version": lambda: cache.incr_version("k"),
        "ttl": lambda: cache.ttl("k"),
        "persist": lambda: cache.persist("k"),
        "get_many": lambda: cache.get_many(["a", "b"]),
        "set_many": lambda: cache.set_many({"a": 1, "b": 2}, 60),
        "set_many for good": lambda: cache.set_many({"a": 1, "b": 2}, None),
        "delete_many": lambda: cache.delete_many(["a", "b"]),
        "keys": lambda: cache.keys("*"),
        "delete_pattern": lambda: cache.delete_pattern("*"),
        "clear": lambda: cache.clear(),
        "get_or_set": lambda: cache.get_or_set("k", lambda: 1, 60, early=1, grace=9, cross_process=True, lease=0.5),
        "sadd": lambda: cache.sadd("s", 1),
        "smembers": lambda: cache.smembers("s"),
        "zadd": lambda: cache.zadd("z", {"a": 1}),
        "zrange": lambda: cache.zrange("z", 0, -1, withscores=True),
        "hgetall": lambda: cache.hgetall("h"),
        "hset": lambda: cache.hset("h", "f", 1),
        "stats": lambda: cache.stats(all_processes=True),
    }


def ends_as_documented(call: Callable[[], Any], *more: type[Exception]) -> None:
    with suppress(UpstashError, *more):
        call()


@pytest.mark.default_cases(12)
@pytest.mark.parametrize("tags", [False, True])
def test_cache(answering: str, tags: bool) -> None:
    cache = UpstashCache("default", {"OPTIONS": {"TAGS": tags}})
    found = calls(cache)
    if tags:
        found |= {
            "set tagged": lambda: cache.set("k", 1, tags=["a"]),
            "invalidate": lambda: cache.invalidate_tags("a"),
        }
    for name, call in found.items():
        # A missing key is what a server may say of any.
        ends_as_documented(call, *((ValueError,) if name.startswith("incr") else ()))


def test_cache__awaited(answering: str) -> None:
    cache = UpstashCache("default", {})

    async def all_of_them() -> None:
        for call in (cache.aget("k"), cache.aset("k", 1), cache.aget_many(["a"]), cache.adelete("k"), cache.akeys("*")):
            with suppress(UpstashError):
                await call

    asyncio.run(all_of_them())


@pytest.mark.default_cases(12)
@pytest.mark.parametrize(
    "policy",
    [FixedWindow("2/h"), SlidingWindow("2/h"), TokenBucket("2/h"), Concurrency(2)],
    ids=lambda one: one.algorithm,
)
def test_limits__raise_nothing(answering: str, policy: Any) -> None:
    limiter = RateLimiter(policy, statistics=True, on_failure="closed")
    for _ in range(3):
        assert limiter.hit("user:1").allowed in (True, False)
        assert limiter.peek("user:1").allowed in (True, False)
    for call in (lambda: limiter.refund("user:1"), lambda: limiter.reset("user:1"), lambda: limiter.read_rules()):
        ends_as_documented(call)
    ends_as_documented(limiter.write_statistics)
    ends_as_documented(limiter.statistics)


def test_features(answering: str) -> None:
    lock = Lock("l", lease=5, wait=0, fencing=True)
    queue = Queue("q")
    store = IdempotencyStore()
    tenant = Tenant("acme")
    for call in (
        *(lock.acquire, lock.release, lock.locked, Lock("m", lease=5, wait=0).acquire),
        *(lambda: queue.enqueue({"a": 1}), lambda: queue.reserve(), lambda: queue.stats()),
        lambda: store.begin("key", "fingerprint"),
        *(lambda: dict(tenant.config), lambda: tenant.usage.read()),
        lambda: CircuitBreaker("b").call(lambda: 1),
        lambda: CircuitBreaker("b").read(),
    ):
        ends_as_documented(call, RuntimeError if call == lock.release else UpstashError)


def test_session(answering: str) -> None:
    def save() -> None:
        session = SessionStore("a" * 32)
        session["k"] = session.get("k", 0)
        session.save()

    def create() -> None:
        session = SessionStore()
        session["k"] = 1
        session.save()

    for call in (save, create, lambda: SessionStore("a" * 32).exists("a" * 32), SessionStore("a" * 32).delete):
        ends_as_documented(call, UpdateError)


WRONG = [("GET k", "1"), ("EXISTS k", "text"), ("MGET k", "nil"), ("TIME", "OK"), ("SET k v", "1"), ("TTL k", "nil")]


@pytest.mark.parametrize(("sent", "reply"), WRONG)
def test_another_type__is_a_protocol_error_and_no_outage(route: str, sent: str, reply: str) -> None:
    wire, result = REPLIES[reply]
    with one_answer.native(wire) if route == "native" else one_answer.rest({"result": result}) as url:
        connection = Connection(make_settings("x", {"URL": url, **({"TOKEN": "t"} if route == "rest" else {})}))
        for run in (connection.run, lambda operation: asyncio.run(connection.arun(operation))):
            with pytest.raises(ProtocolError, match=sent.split()[0]):
                run(command(*sent.split()))
        assert connection.availability.is_up
        connection.close()


@pytest.mark.parametrize(
    "body",
    [
        "[" * 5000 + "]" * 5000,
        '{"result":' + "[" * 900 + "]" * 900 + "}",
        '{"result":"é"}',
        '{"result":true}',
        '{"result":{}}',
    ],
    ids=["deep document", "deep result", "not ASCII", "boolean", "object"],
)
def test_rest__what_is_no_reply_is_a_protocol_error(body: str) -> None:
    with one_answer.rest(body) as url:
        connection = Connection(make_settings("x", {"URL": url, "TOKEN": "t"}))
        with pytest.raises(ProtocolError):
            connection.run(command("TTL", "k"))
        connection.close()


def test_error_of_the_caller__stays_what_it_is(make_cache: Any) -> None:
    cache = make_cache("native")
    cache.set("k", "text")
    with pytest.raises(TypeError):
        cache.incr("k", 1)
    with pytest.raises(ValueError, match="not found"):
        cache.incr("missing")
