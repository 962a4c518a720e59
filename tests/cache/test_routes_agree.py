"""What was written on one route is read on the other, identical in value and type, and in every byte stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import CacheKeyWarning
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from django_upstash.cache import UpstashCache
from tests.servers import Server

pytestmark = [
    pytest.mark.matrix,
    pytest.mark.filterwarnings(f"ignore::{CacheKeyWarning.__module__}.{CacheKeyWarning.__name__}"),
]

BOTH_WAYS = [("native", "rest"), ("rest", "native")]
MEGABYTE = 1 << 20

keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=0, max_size=300)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes()
    | st.decimals(allow_nan=False)
    | st.uuids()
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.sets(st.integers() | st.binary())
    ),
    max_leaves=12,
)
thoroughly = hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture(params=BOTH_WAYS, ids=" to ".join)
def two_caches(request: pytest.FixtureRequest, make_cache: Callable[..., UpstashCache]) -> tuple[Any, Any]:
    """Two caches on one server, over the two routes."""
    writer, reader = request.param
    return make_cache(writer, KEY_PREFIX="shop"), make_cache(reader, KEY_PREFIX="shop")


@thoroughly
@given(key=keys, value=values)
def test_value__alone(two_caches: tuple[Any, Any], key: str, value: Any) -> None:
    writer, reader = two_caches
    writer.set(key, value)
    found = reader.get(key, "default")
    assert (found, type(found)) == (value, type(value))


@pytest.mark.default_cases(1)
@thoroughly
@given(data=st.dictionaries(keys, values, max_size=8), timeout=st.sampled_from([None, 100]))
def test_value__among_many(two_caches: tuple[Any, Any], data: dict[str, Any], timeout: int | None) -> None:
    writer, reader = two_caches
    writer.set_many(data, timeout)
    found = reader.get_many(data)
    assert found == data
    assert {key: type(value) for key, value in found.items()} == {key: type(value) for key, value in data.items()}


@hypothesis_settings(thoroughly, max_examples=12)
@given(size=st.integers(0, MEGABYTE), byte=st.binary(min_size=1, max_size=3))
def test_value__of_any_size(two_caches: tuple[Any, Any], size: int, byte: bytes) -> None:
    writer, reader = two_caches
    value = byte * (size // len(byte))
    writer.set_many({"a": value, "b": [value]})
    assert reader.get("a") == value
    assert reader.get_many(["a", "b"]) == {"a": value, "b": [value]}


numbers = (
    st.integers() | st.integers(-(2**64), 2**64) | st.floats(-(2.0**60), 2.0**60) | st.sampled_from([2**53, 2**63 - 1])
)


@thoroughly
@given(key=keys, value=numbers, delta=numbers)
def test_counting__on_either_route(two_caches: tuple[Any, Any], key: str, value: float, delta: float) -> None:
    writer, reader = two_caches
    writer.set(key, value, 100)
    total = value + delta
    for found in (reader.incr(key, delta), writer.get(key)):
        assert (found, type(found)) == (total, type(total))
    assert 0 < writer.ttl(key) <= 100


def test_value__every_byte(two_caches: tuple[Any, Any]) -> None:
    writer, reader = two_caches
    values = {f"k{byte}": bytes([byte]) for byte in range(256)}
    writer.set_many(values)
    assert reader.get_many(values) == values
    writer.set("all", bytes(range(256)))
    assert reader.get("all") == bytes(range(256))


def test_stored_bytes__are_the_same(make_cache: Callable[..., UpstashCache], valkey: Server) -> None:
    stored = {}
    for route in ("native", "rest"):
        cache = make_cache(route, KEY_PREFIX="shop")
        cache.set("int", 7)
        cache.set("signed", {"a": b"\xff" * 2000})
        cache.sadd("members", "é", 1)
        stored[route] = [valkey.call("GET", "shop:1:int"), valkey.call("GET", "shop:1:signed")]
        stored[route].append(sorted(valkey.call("SMEMBERS", "shop:1:members")))
    assert stored["native"] == stored["rest"]


@pytest.mark.parametrize("options", [{}, {"SIGN": False}], ids=["signed", "unsigned"])
@pytest.mark.parametrize("compressor", ["identity.IdentityCompressor", "zlib.ZlibCompressor"])
@pytest.mark.parametrize(
    ("serializer", "value"),
    [
        ("pickle.PickleSerializer", {"a": (1, b"\xff" * 50)}),
        ("json.JSONSerializer", {"a": [1, "é" * 50]}),
        ("msgpack.MSGPackSerializer", {"a": [1, b"\xff" * 50]}),
    ],
)
def test_options__serializers_and_compressors(
    make_cache: Callable[..., UpstashCache], options: dict[str, Any], compressor: str, serializer: str, value: Any
) -> None:
    options = {
        "SERIALIZER": f"django_redis.serializers.{serializer}",
        "COMPRESSOR": f"django_redis.compressors.{compressor}",
        **options,
    }
    for writing, reading in BOTH_WAYS:
        writer, reader = make_cache(writing, OPTIONS=options), make_cache(reading, OPTIONS=options)
        writer.set("k", value)
        assert reader.get("k") == value
        writer.set_many({"k": value, "n": 2**64, "t": True})
        assert reader.get_many(["k", "n", "t"]) == {"k": value, "n": 2**64, "t": True}
        assert type(reader.get("t")) is bool
