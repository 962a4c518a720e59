"""A value computed again before it expires, and one that serves after it has: what envelope and copy do and cost."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from django_upstash.dev_server import LocalServer
from tests.cache.conftest import OpenCache
from tests.cache.test_budget import Counting, counting

pytestmark = pytest.mark.matrix

__all__ = ["counting"]

EAGER = 1e9  # computes again at every hit
FORMATS: list[dict[str, Any]] = [
    {},
    {"SIGN": False},
    {"COMPRESSOR": "django_redis.compressors.zlib.ZlibCompressor"},
    {"SERIALIZER": "django_redis.serializers.json.JSONSerializer"},
    {"SERIALIZER": "django_redis.serializers.msgpack.MSGPackSerializer"},
]


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def slowly(value: Any) -> Callable[[], Any]:
    def default() -> Any:
        time.sleep(0.002)
        return value

    return default


def failing() -> Any:
    raise LookupError("no database")


@pytest.mark.parametrize("options", FORMATS, ids=str)
@pytest.mark.parametrize("value", [["v", 1], 7, 2**70, None, "~e1:::\n", "x" * 5000], ids=lambda value: repr(value)[:9])
def test_envelope__is_read_by_every_reader(make_cache: OpenCache, options: dict[str, Any], value: Any) -> None:
    for writer, reader in (("native", "rest"), ("rest", "native")):
        writing = make_cache(writer, KEY_PREFIX="shop", OPTIONS=options)
        reading = make_cache(reader, KEY_PREFIX="shop", OPTIONS=options)
        writing.clear()
        if value == 2**70 and "msgpack" in str(options):
            continue
        assert writing.get_or_set("k", value, early=1, grace=60) == value
        assert reading.get("k") == value
        assert reading.get_many(["k"]) == {"k": value}
        assert reading.get_or_set("k", "other", early=1) == value
        assert reading.has_key("k")
        assert reading.add("k", 1) is False


def test_envelope__counts(cache: Any) -> None:
    cache.get_or_set("n", 5, early=1, grace=60)
    assert cache.incr("n") == 6
    assert cache.decr("n", 2) == 4
    assert cache.get("n") == 4
    assert 0 < cache.ttl("n") <= 300
    assert cache.get_or_set("n", lambda: "again", early=1, grace=60) == 4


def test_envelope__is_signed_with_its_line(cache: Any, bystander: redis.Redis) -> None:
    cache.get_or_set("k", ["v"], early=1)
    stored = bystander.get("shop:1:k")
    assert isinstance(stored, bytes)
    line, inner = stored.split(b"\n", 1)
    for forged in (b"~e1:99999:1:\n" + inner, inner, line + b"\n" + stored, b"~e1:\n" + inner, line, b"~e1:"):
        bystander.set("shop:1:k", forged)
        assert cache.get("k", "missing") == "missing"
    bystander.set("shop:1:other", stored)
    assert cache.get("other") is None


def test_early__computes_again_in_the_caller(cache: Any) -> None:
    assert cache.get_or_set("k", slowly("first"), timeout=50, early=1) == "first"
    assert cache.get_or_set("k", slowly("second"), timeout=50, early=1) == "first"
    assert cache.get_or_set("k", slowly("third"), timeout=50, early=EAGER) == "third"
    assert cache.get("k") == "third"
    assert cache.ttl("k") in range(41, 51)


def test_early__of_values_that_do_not_expire(cache: Any) -> None:
    cache.get_or_set("k", slowly("first"), timeout=None, early=1)
    assert cache.get_or_set("k", slowly("second"), timeout=None, early=EAGER) == "first"
    cache.set("plain", "first")
    assert cache.get_or_set("plain", slowly("second"), early=EAGER) == "first"


def test_early__failure_leaves_the_value(cache: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "django_upstash.cache")
    cache.get_or_set("k", slowly("first"), early=1, grace=60)
    assert cache.get_or_set("k", failing, early=EAGER, grace=60) == "first"
    (record,) = caplog.records
    assert "LookupError" in record.getMessage()


def test_early__does_not_overwrite_what_was_set_meanwhile(cache: Any) -> None:
    cache.get_or_set("k", slowly("first"), early=1)

    def default() -> str:
        plain = getattr(cache, "cache", cache)
        plain.set("k", "set meanwhile")
        return "computed"

    assert cache.get_or_set("k", default, early=EAGER) == "set meanwhile"
    assert cache.get("k") == "set meanwhile"


def test_early__does_not_bring_back_what_was_deleted_meanwhile(cache: Any) -> None:
    cache.get_or_set("k", slowly("first"), early=1)
    plain = getattr(cache, "cache", cache)
    assert cache.get_or_set("k", lambda: plain.delete("k") and "computed", early=EAGER) == "computed"
    assert cache.get("k") is None


def test_early__under_somebody_elses_lease(cache: Any, bystander: redis.Redis) -> None:
    cache.get_or_set("k", slowly("first"), early=1)
    bystander.set("shop:-0:~lease:shop:1:k", "somebody")
    assert cache.get_or_set("k", slowly("second"), early=EAGER, cross_process=True) == "first"
    bystander.delete("shop:-0:~lease:shop:1:k")
    assert cache.get_or_set("k", slowly("second"), early=EAGER, cross_process=True) == "second"


def test_grace__serves_the_last_value_where_computing_fails(cache: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "django_upstash.cache")
    assert cache.get_or_set("k", lambda: ["first"], timeout=0.02, grace=60) == ["first"]
    wait_until_missing(cache, "k")
    assert cache.get_or_set("k", failing, timeout=60, grace=60) == ["first"]
    assert "LookupError" in caplog.text
    with pytest.raises(LookupError):
        cache.get_or_set("k", failing, timeout=60)
    assert cache.get_or_set("k", lambda: "second", timeout=60, grace=60) == "second"


def test_grace__stale_values_are_not_present(cache: Any) -> None:
    cache.get_or_set("k", 5, timeout=0.02, grace=60)
    wait_until_missing(cache, "k")
    assert (cache.get("k"), cache.get_many(["k"]), cache.ttl("k")) == (None, {}, 0)
    assert (cache.touch("k"), cache.delete("k"), cache.keys("*")) == (False, False, [])
    with pytest.raises(ValueError, match="not found"):
        cache.incr("k")
    with pytest.raises(ValueError, match="not found"):
        cache.incr_version("k")
    assert cache.add("k", "new") is True


def test_grace__what_was_deleted_before_its_time_does_not_serve(cache: Any) -> None:
    cache.get_or_set("k", "first", timeout=60, grace=60)
    cache.delete("k")
    with pytest.raises(LookupError):
        cache.get_or_set("k", failing, timeout=60, grace=60)


def test_grace__ends(cache: Any, bystander: redis.Redis) -> None:
    cache.get_or_set("k", "first", timeout=10, grace=20)
    assert 29_000 < bystander.pttl("shop:-0:~grace:shop:1:k") <= 30_000


def test_grace__clear_removes_the_copy(cache: Any, bystander: redis.Redis) -> None:
    cache.get_or_set("k", "first", timeout=10, grace=20)
    cache.clear()
    assert bystander.keys("*") == []


def wait_until_missing(cache: Any, key: str) -> None:
    deadline = time.monotonic() + 10
    while cache.has_key(key):
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.fixture
def used(open_cache: OpenCache) -> Any:
    """A cache whose connection is open, with a protected value."""
    cache = open_cache(KEY_PREFIX="shop")
    cache.get_or_set("k", ["v"], early=1, grace=60)
    for key in ("early", "lease"):
        cache.get_or_set(key, slowly(1), early=1, cross_process=True)
    cache.get_or_set("early", slowly(1), early=EAGER)
    cache.delete("lease")
    return cache


@pytest.mark.parametrize(
    ("key", "options", "cost"),
    [
        ("k", {}, (1, 1)),
        ("k", {"early": 1, "grace": 60, "cross_process": True}, (1, 1)),
        ("new", {}, (2, 2)),
        ("new", {"early": 1}, (2, 2)),
        ("new", {"early": 1, "grace": 60}, (2, 3)),
        ("early", {"early": EAGER}, (2, 4)),
        # GET; SET NX and GET; SET NX; and the release
        ("lease", {"cross_process": True}, (4, 5)),
    ],
)
def test_budget(used: Any, counting: Counting, key: str, options: dict[str, Any], cost: tuple[int, int]) -> None:
    with counting(used) as counted:
        used.get_or_set(key, slowly("v"), **options)
    assert counted == cost


def test_outage__ignored_at_every_step(make_cache: OpenCache, local_server: LocalServer) -> None:
    cache = make_cache("rest", OPTIONS={"IGNORE_EXCEPTIONS": True})

    def default() -> str:
        local_server.inject("drop_before")
        return "computed"

    assert cache.get_or_set("k", default, early=1, grace=60, cross_process=True) == "computed"
