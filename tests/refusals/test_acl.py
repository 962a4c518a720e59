"""What an ACL forbids is done by other means where there are any, as if the server did not know the command."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.contrib.sessions.backends.base import UpdateError

from django_upstash.cache import UpstashCache
from django_upstash.connections import connections
from django_upstash.exceptions import NoPermissionError
from django_upstash.locks import Lock
from django_upstash.ratelimit import FixedWindow, RateLimiter, Reason, SlidingWindow
from django_upstash.sessions import SessionStore
from tests.refusals.conftest import Enter
from tests.servers import Server

# As written before the server got its newer commands, and as an allow-list of classes is.
WITHOUT_NEWER = ("+@all", "-msetex", "-delifeq", "-delex", "-getex")
WITHOUT_SCRIPTS = ("+@read", "+@write", "-@scripting", "+ping")
USERS = pytest.mark.parametrize("rules", [WITHOUT_NEWER, WITHOUT_SCRIPTS], ids=["without newer", "without scripts"])


@USERS
def test_cache__every_method_works(enter_as: Enter, rules: tuple[str, ...]) -> None:
    enter_as(*rules)
    cache = UpstashCache("default", {})
    assert cache.set_many({"a": 1, "b": [2]}, 60) == []
    assert cache.get_many(["a", "b"]) == {"a": 1, "b": [2]}
    assert (cache.incr("a", 4), cache.decr("a"), cache.get("a")) == (5, 4, 4)
    assert 0 < (cache.ttl("a") or 0) <= 60
    assert cache.touch("a", None)
    assert cache.ttl("a") is None
    assert cache.get_or_set("c", lambda: 3, 60, early=1, grace=5) == 3
    cache.set("big", 2**62)
    assert cache.incr("big", 5) == 2**62 + 5
    assert (cache.add("a", 1), cache.delete("a"), cache.delete("a")) == (False, True, False)
    cache.warm({"w": 1, "x": 2}, 60)
    assert cache.touch_many(["w", "x"], 90) == 2
    assert sorted(cache.keys("*")) == ["b", "big", "c", "w", "x"]
    with pytest.raises(ValueError, match="not found"):
        cache.incr("missing")


@USERS
def test_cache__what_is_no_integer_is_counted_where_the_server_can_compare(
    enter_as: Enter, acl_server: Server, rules: tuple[str, ...]
) -> None:
    enter_as(*rules)
    cache = UpstashCache("default", {})
    cache.set("f", 1.5, 60)
    if rules is WITHOUT_SCRIPTS and acl_server.program.name == "redis-server":
        with pytest.raises(NoPermissionError):
            cache.incr("f")
        return
    assert cache.incr("f", 2) == 3.5
    assert 0 < (cache.ttl("f") or 0) <= 60


@USERS
def test_cache__tags(enter_as: Enter, rules: tuple[str, ...]) -> None:
    enter_as(*rules)
    cache = UpstashCache("default", {"OPTIONS": {"TAGS": True}})
    cache.set("t", 1, 60, tags=["news"])
    cache.set("plain", 1, 60)
    assert (cache.touch("t", 90), cache.has_key("t"), cache.touch("plain", 90)) == (True, True, True)
    cache.invalidate_tags("news")
    assert (cache.has_key("t"), cache.touch("t"), cache.add("t", 2)) == (False, False, True)
    assert (cache.delete("t"), cache.delete("plain")) == (True, True)


@USERS
def test_cache__awaited(enter_as: Enter, rules: tuple[str, ...]) -> None:
    enter_as(*rules)
    cache = UpstashCache("default", {})

    async def count() -> list[int]:
        await cache.aset_many({"n": 1, "m": 2}, 60)
        return [await cache.aincr("n") for _ in range(3)]

    assert asyncio.run(count()) == [2, 3, 4]


@USERS
def test_lock__is_given_back(enter_as: Enter, acl_server: Server, rules: tuple[str, ...]) -> None:
    enter_as(*rules)
    lock = Lock("report", lease=60, wait=0)
    assert lock.acquire()
    if rules is WITHOUT_SCRIPTS and acl_server.program.name == "redis-server":
        with pytest.raises(NoPermissionError):
            lock.release()
        return
    lock.extend()
    lock.release()
    assert Lock("report", lease=60).acquire()


@USERS
def test_session__is_saved_and_ended(enter_as: Enter, rules: tuple[str, ...]) -> None:
    enter_as(*rules)
    session = SessionStore()
    session["a"] = 1
    session.save()
    key = str(session.session_key)
    again = SessionStore(key)
    again["b"] = 2
    again.save()
    assert dict(SessionStore(key).items()) == {"a": 1, "b": 2}
    late = SessionStore(key)
    late["c"] = 3
    again.delete()
    with pytest.raises(UpdateError):
        late.save()


def test_limits__of_several_policies(enter_as: Enter) -> None:
    enter_as(*WITHOUT_NEWER)
    limiter = RateLimiter([SlidingWindow("3/h", scope="a"), FixedWindow("9/h", scope="b")])
    found = [limiter.hit("user:1") for _ in range(5)]
    assert [decision.allowed for decision in found] == [True] * 3 + [False] * 2
    assert {decision.reason for decision in found} == {Reason.WITHIN_LIMITS, Reason.LIMITED}


def test_withheld__is_asked_once_and_remembered(enter_as: Enter) -> None:
    enter_as(*WITHOUT_SCRIPTS)
    cache = UpstashCache("default", {})
    cache.set("n", 1)
    cache.incr("n")
    meter = connections["default"].meter
    before: Any = meter.commands
    cache.incr("n")
    assert meter.commands - before == 2


def test_keys_that_are_forbidden__are_no_missing_command(enter_as: Enter, acl_server: Server) -> None:
    enter_as("+@all")
    acl_server.call("ACL", "SETUSER", "few", "resetkeys", "~allowed*")
    cache = UpstashCache("default", {})
    with pytest.raises(NoPermissionError):
        cache.set_many({"a": 1, "b": 2}, 60)
    with pytest.raises(NoPermissionError):
        cache.incr("a")
    assert connections["default"].capabilities.lacks <= {"MSETEX"}  # where the server does not know it
