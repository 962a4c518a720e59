"""Requests and replies above the server's limit are split, not refused."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from django_upstash.cache import counters, many, operations, scans
from django_upstash.exceptions import PayloadTooLargeError
from django_upstash.operations import Operation
from tests.cache.conftest import OpenCache

pytestmark = pytest.mark.matrix

MEGABYTE = 1 << 20


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.default_cases(2)
def test_large__many_values_beyond_one_request_and_reply(cache: Any) -> None:
    values = {f"k{number}": bytes([number]) * 3 * MEGABYTE for number in range(6)}
    requests = cache.connection.meter.requests
    assert cache.set_many(values) == []
    assert cache.connection.meter.requests - requests >= 2
    requests = cache.connection.meter.requests
    assert cache.get_many(values) == values
    if cache.connection.settings.route == "rest":  # whose replies have the same limit
        assert cache.connection.meter.requests - requests >= 2


def test_large__pieces_stay_within_the_limit(open_cache: OpenCache, upstash: dict[str, Any], settings: Any) -> None:
    limit = 2000
    settings.UPSTASH = {alias: {**entry, "MAX_REQUEST_SIZE": limit} for alias, entry in upstash.items()}
    cache = open_cache(KEY_PREFIX="shop")
    values = {f"key{number}": "x" * (number * 7) for number in range(120)}
    values["larger"] = "x" * (2 * limit)
    sizes = []
    operation: Any = many.set_many(cache.keyspace, values)
    while isinstance(operation, Operation):
        sizes.append([len(repr(command)) for command in operation.commands])
        operation = operation.parse([1] * len(operation.commands))
    assert operation == []
    assert len(sizes) > 10
    assert [size for (size,) in sizes if size > limit] == [max(size for (size,) in sizes)]


@pytest.mark.parametrize("timeout", [None, 60])
def test_large__limit_of_the_connection(
    open_cache: OpenCache, upstash: dict[str, Any], settings: Any, timeout: int | None
) -> None:
    settings.UPSTASH = {alias: {**entry, "MAX_REQUEST_SIZE": 5000} for alias, entry in upstash.items()}
    cache = open_cache(KEY_PREFIX="shop")
    values = {f"k{number}": ["x" * 100, number] for number in range(200)}
    assert cache.set_many(values, timeout) == []
    assert cache.get_many(values) == values
    assert cache.delete_many(values) == 200
    assert cache.get_many(values) == {}


def test_large__reply_is_asked_for_in_halves(cache: Any) -> None:
    """The server's refusal comes from a bystander that knows its limit; the operation only reads replies."""
    values = {f"k{number}": ["value", number] for number in range(10)}
    cache.set_many(values)
    asked: list[int] = []
    operation: Any = many.get_many(cache.keyspace, values)
    while isinstance(operation, Operation):
        (command,) = operation.commands
        asked.append(len(command) - 1)
        too_large = PayloadTooLargeError("max request size exceeded. Limit: 10 bytes, Actual: 20 bytes")
        reply = too_large if len(command) > 4 else cache.connection.redis.mget(command[1:])
        operation = operation.parse([reply])
    assert operation == values
    assert asked == [10, 5, 2, 3, 5, 2, 3]


def test_large__one_value_beyond_the_limit_is_an_error(cache: Any) -> None:
    operation = many.get_many(cache.keyspace, ["k"])
    with pytest.raises(redis.ResponseError, match="max request size"):
        operation.parse([PayloadTooLargeError("max request size exceeded")])


def test_operations__show_no_arguments(cache: Any) -> None:
    space = cache.keyspace
    for operation in (
        operations.set(space, "private", "private"),
        many.set_many(space, {"private": "private"}),
        counters.incr(space, "private"),
        scans.keys(space, "private"),
    ):
        assert "private" not in repr(operation)
