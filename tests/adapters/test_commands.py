"""How redis-py's arguments become commands."""

from __future__ import annotations

import enum
from typing import Any

import pytest

from django_upstash.adapters.commands import batch, encode, single
from django_upstash.codecs import encode_member
from django_upstash.exceptions import DataError, ExecAbortError, ResponseError

pytestmark = pytest.mark.matrix


class Level(enum.IntEnum):
    HIGH = 3


class Ratio(float):
    def __repr__(self) -> str:
        return "Ratio"


@pytest.mark.parametrize(
    ("argument", "sent"),
    [
        ("text", "text"),
        (b"\x00\xff", b"\x00\xff"),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"abcdef")[::2], b"ace"),
        (-7, -7),
        (2**63 - 1, 2**63 - 1),
        (2**63, str(2**63)),
        (-(10**300), str(-(10**300))),
        (1.0, "1.0"),
        (1e300, "1e+300"),
        (float("inf"), "inf"),
        (Level.HIGH, 3),
        (Ratio(0.5), "0.5"),
    ],
)
def test_encode__arguments(argument: Any, sent: Any) -> None:
    assert encode(("SET", "k", argument)) == ("SET", "k", sent)


def test_encode__leaves_encoded_values_their_type() -> None:
    value = encode_member("text")
    assert encode(("SADD", "k", value))[2] is value


@pytest.mark.parametrize("argument", [None, True, [1], {}, object(), pytest.param(10**5000, id="5,000 digits")])
def test_encode__refuses(argument: Any) -> None:
    with pytest.raises(DataError):
        encode(("SET", "k", argument))


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        (("CONFIG GET", "a b"), ("CONFIG", "GET", "a b")),
        ((b"MEMORY USAGE", "k"), (b"MEMORY", b"USAGE", "k")),
        (("set k 1",), ("set", "k", "1")),
    ],
)
def test_encode__splits_names_of_several_words(arguments: Any, sent: Any) -> None:
    assert encode(arguments) == sent


def test_single__options_reach_the_callback_without_those_of_redis_py() -> None:
    seen: dict[str, Any] = {}

    def callback(reply: Any, **options: Any) -> Any:
        seen.update(options)
        return reply

    operation = single(("ZRANGE", "k"), {"withscores": True, "keys": ["k"], "NEVER_DECODE": []}, {"ZRANGE": callback})

    assert (operation.parse([b"x"]), seen) == (b"x", {"withscores": True})


def test_batch__what_is_known_beforehand_is_not_sent() -> None:
    stack: Any = [(("MGET",), {"EMPTY_RESPONSE": []}), (("GET", "k"), {})]
    operation = batch(stack, (), {}, atomic=False, raise_on_error=True)
    assert operation.commands == [("GET", "k")]
    assert operation.parse([b"v"]) == [[], b"v"]


def test_batch__names_the_command_and_none_of_its_arguments() -> None:
    stack: Any = [(("GET", "k"), {}), (("SET s3cret-key s3cret",), {})]
    operation = batch(stack, (), {}, atomic=False, raise_on_error=True)
    with pytest.raises(ResponseError) as caught:
        operation.parse([b"v", ResponseError("no")])
    assert str(caught.value) == "Command # 2 (SET) of pipeline caused error: no"


@pytest.mark.parametrize("raise_on_error", [True, False])
def test_batch__a_discarded_transaction_raises(raise_on_error: bool) -> None:
    stack: Any = [(("GET", "k"), {})] * 2
    operation = batch(stack, (), {}, atomic=True, raise_on_error=raise_on_error)
    with pytest.raises(ExecAbortError):
        operation.parse([ExecAbortError("x"), ExecAbortError("x")])
