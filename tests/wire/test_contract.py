"""What every route promises, in one suite that runs on each of them, synchronously and asynchronously."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from django_upstash import exceptions
from django_upstash.connections import Connection
from django_upstash.operations import Command, Reply
from tests.loops import needs_uvloop, on_each_loop, run

pytestmark = pytest.mark.matrix

Execute = Callable[..., list[Reply]]


@pytest.fixture(params=["sync", "async", "async on wires of its own", needs_uvloop("uvloop, on wires of its own")])
def execute(request: pytest.FixtureRequest, connection: Connection) -> Execute:
    """The route's one verb, awaited or not."""
    if request.param == "sync":
        return connection.route.execute
    loop = "uvloop" if "uvloop" in request.param else "asyncio"

    def execute(commands: Sequence[Command], **options: Any) -> list[Reply]:
        async def main() -> list[Reply]:
            if request.param != "async":
                for _ in range(17):  # a loop earns its own wires by going on
                    await connection.route.aexecute([("PING",)])
            return await connection.route.aexecute(commands, **options)

        return run(main(), loop)

    return execute


@pytest.mark.parametrize(
    ("commands", "replies"),
    [
        ([], []),
        ([("PING",)], [b"PONG"]),
        ([("SET", "k", "v")], [b"OK"]),
        ([("GET", "nothing")], [None]),
        ([("SET", "k", ""), ("GET", "k"), ("STRLEN", "k")], [b"OK", b"", 0]),
        ([("SET", "k", "OK"), ("GET", "k")], [b"OK", b"OK"]),
        ([("INCRBY", "n", 5), ("DECRBY", "n", 7), ("GET", "n")], [5, -2, b"-2"]),
        ([("SET", "f", 1.5), ("INCRBYFLOAT", "f", 0.1), ("GET", "f")], [b"OK", b"1.6", b"1.6"]),
        ([("SET", "é", "日本\u2028\x00\n\"'"), ("GET", "é")], [b"OK", "日本\u2028\x00\n\"'".encode()]),
        ([("RPUSH", "l", "a", "b"), ("LRANGE", "l", 0, -1), ("LRANGE", "none", 0, -1)], [2, [b"a", b"b"], []]),
        ([("HSET", "h", "f", "v"), ("HGETALL", "h"), ("HMGET", "h", "f", "g")], [1, [b"f", b"v"], [b"v", None]]),
        ([("ZADD", "z", 1.5, "m"), ("ZRANGE", "z", 0, -1, "WITHSCORES")], [1, [b"m", b"1.5"]]),
        ([("SADD", "s", "m"), ("SISMEMBER", "s", "m"), ("SISMEMBER", "s", "x")], [1, 1, 0]),
        ([("MSET", "a", 1, "b", 2), ("MGET", "a", "x", "b")], [b"OK", [b"1", None, b"2"]]),
        ([("SCAN", 0, "COUNT", 1000)], [[b"0", []]]),
        ([("EVAL", "return {1, 'two', false, {ok='FINE'}}", 0)], [[1, b"two", None, b"FINE"]]),
        ([("TYPE", "nothing"), ("TTL", "nothing")], [b"none", -2]),
    ],
)
def test_execute__replies(execute: Execute, commands: list[Command], replies: list[Reply]) -> None:
    assert execute(commands) == replies


def test_execute__integers_of_64_bits(execute: Execute) -> None:
    assert execute([("INCRBY", "n", 2**63 - 1), ("GET", "n")]) == [2**63 - 1, b"9223372036854775807"]


def test_execute__all_ascii_bytes_in_keys_and_values(execute: Execute) -> None:
    text = bytes(range(128)).decode()
    assert execute([("SET", text, text), ("GET", text)]) == [b"OK", text.encode()]


def test_execute__one_argument_of_raw_bytes(execute: Execute) -> None:
    every_byte = bytes(range(256)) * 3
    assert execute([("SET", "k/? &é", every_byte, "PX", 60_000)]) == [b"OK"]
    assert execute([("GET", "k/? &é")]) == [every_byte]
    assert execute([("GET", "k/? &é"), ("MGET", "k/? &é")]) == [every_byte, [every_byte]]


def test_execute__errors_stand_in_their_slots(execute: Execute) -> None:
    first, wrong_type, unknown, last = execute([("SET", "k", "text"), ("INCR", "k"), ("NOPE", "s3cret"), ("GET", "k")])
    assert (first, last) == (b"OK", b"text")
    assert type(wrong_type) is exceptions.ResponseError
    assert str(wrong_type) == "value is not an integer or out of range"
    assert type(unknown) is exceptions.UnknownCommandError
    assert "s3cret" not in str(unknown)


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (("LPUSH", "k", "x"), exceptions.ResponseError),
        (("GET",), exceptions.ResponseError),
        (("EVALSHA", "f" * 40, 0), exceptions.NoScriptError),
        (("EVAL", "return redis.error_reply('ERR mine')", 0), exceptions.ResponseError),
        (("NOPE",), exceptions.UnknownCommandError),
    ],
)
def test_execute__single_errors(execute: Execute, command: Command, kind: type[Exception]) -> None:
    execute([("SET", "k", "text")])
    (reply,) = execute([command])
    assert type(reply) is kind


def test_execute__atomic(execute: Execute) -> None:
    replies = execute([("SET", "k", 1), ("INCR", "k"), ("GET", "k")], atomic=True)
    assert replies == [b"OK", 2, b"2"]


def test_execute__atomic_with_an_error_while_running(execute: Execute) -> None:
    ok, error, value = execute([("SET", "k", "x"), ("INCR", "k"), ("GET", "k")], atomic=True)
    assert (ok, value) == (b"OK", b"x")
    assert type(error) is exceptions.ResponseError


def test_execute__atomic_discarded_has_run_nothing(execute: Execute) -> None:
    replies = execute([("SET", "k", "x"), ("NOPE",), ("GET", "k")], atomic=True)
    assert [type(reply) for reply in replies] == [exceptions.ExecAbortError] * 3
    assert execute([("EXISTS", "k")]) == [0]


@pytest.mark.parametrize(
    "argument", [None, True, [1], object(), bytearray(b"x"), "\ud800", pytest.param(10**5000, id="huge")]
)
def test_execute__arguments_that_cannot_be_sent(execute: Execute, argument: Any) -> None:
    with pytest.raises(exceptions.DataError):
        execute([("SET", "k", argument)])
    assert execute([("EXISTS", "k")]) == [0]


@pytest.mark.parametrize("name", ["MULTI", "multi", b"WATCH", "SELECT", "BLPOP", "SUBSCRIBE", "AUTH", "CLIENT"])
def test_execute__commands_that_need_a_connection_of_their_own(execute: Execute, name: str) -> None:
    with pytest.raises(exceptions.DataError, match="connection of its own"):
        execute([("PING",), (name, "x")])


Color = enum.Enum("Color", {"RED": "red"}, type=str)  # whose str() is not its value
Number = enum.IntEnum("Number", {"SEVEN": 7})


def test_execute__subclasses_are_sent_as_the_values_they_are(execute: Execute) -> None:
    replies = execute([("SET", Color.RED, Number.SEVEN), ("GET", "red"), ("INCRBYFLOAT", "red", numeric(0.5))])
    assert replies == [b"OK", b"7", b"7.5"]


def numeric(value: float) -> float:
    class Measured(float):
        def __repr__(self) -> str:
            return "a measure"

    return Measured(value)


def test_execute__large_values(execute: Execute) -> None:
    value = "v" * 3_000_000
    assert execute([("SET", "big", value), ("GET", "big")]) == [b"OK", value.encode()]
    assert execute([("GET", "big")]) == [value.encode()]


def test_execute__many_commands(execute: Execute) -> None:
    count = 5_000
    assert execute([("INCR", "n")] * count) == list(range(1, count + 1))


@on_each_loop
def test_aexecute__one_tick_shares_what_each_caller_sent(connection: Connection, loop: str) -> None:
    async def main() -> list[list[Reply]]:
        calls: list[list[Command]] = [[("SET", f"k{n}", n), ("GET", f"k{n}")] for n in range(100)]
        for _ in range(17):
            await connection.route.aexecute([("PING",)])
        return await asyncio.gather(*(connection.route.aexecute(commands) for commands in calls))

    assert run(main(), loop) == [[b"OK", str(n).encode()] for n in range(100)]


@on_each_loop
def test_aexecute__a_bad_argument_fails_one_caller_only(connection: Connection, loop: str) -> None:
    async def main() -> list[Any]:
        async def echo(argument: Any) -> list[Reply]:
            return await connection.route.aexecute([("ECHO", argument)])

        good = [echo(n) for n in range(5)]
        bad = echo(None)
        return await asyncio.gather(*good[:3], bad, *good[3:], return_exceptions=True)

    replies = run(main(), loop)
    assert isinstance(replies.pop(3), exceptions.DataError)
    assert replies == [[str(n).encode()] for n in range(5)]


@on_each_loop
@pytest.mark.parametrize("batches_before", [0, 17])
def test_aexecute__a_cancelled_caller_loses_only_itself(connection: Connection, batches_before: int, loop: str) -> None:
    async def main() -> list[Any]:
        for _ in range(batches_before):
            await connection.route.aexecute([("PING",)])
        tasks = [asyncio.ensure_future(connection.route.aexecute([("ECHO", n)])) for n in range(5)]
        await asyncio.sleep(0)
        tasks[2].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    replies = run(main(), loop)
    assert isinstance(replies.pop(2), asyncio.CancelledError)
    assert replies == [[str(n).encode()] for n in (0, 1, 3, 4)]


def test_close__the_route_opens_again_when_it_is_used(connection: Connection) -> None:
    assert connection.ping()
    connection.close()
    assert connection.ping()
    connection.close()
