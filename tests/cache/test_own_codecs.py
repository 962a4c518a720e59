"""A project's own serializer, compressor and codec: what they return is looked at, and refused by name."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from django_upstash.queues import JSONCodec, Queue
from tests.callback_cases import Plain, awaitables

OpenCache = Callable[..., Any]
WRONG = {**awaitables(b"x"), "a plain object": lambda *args: Plain()}
kinds = pytest.mark.parametrize("kind", WRONG)


def serializer(**wrong: Any) -> type:
    class Serializer:
        def __init__(self, options: Any) -> None:
            self.__dict__.update(wrong)

        def dumps(self, value: Any) -> bytes:
            return pickle.dumps(value)

        def loads(self, value: bytes) -> Any:
            return pickle.loads(value)

    return Serializer


def compressor(**wrong: Any) -> type:
    class Compressor:
        def __init__(self, options: Any) -> None:
            self.__dict__.update(wrong)

        def compress(self, value: bytes) -> bytes:
            return b"+" + value

        def decompress(self, value: bytes) -> bytes:
            return value[1:]

    return Compressor


@kinds
@pytest.mark.parametrize("sign", [True, False])
@pytest.mark.parametrize(
    ("option", "make", "method"),
    [
        ("SERIALIZER", serializer, "dumps"),
        ("SERIALIZER", serializer, "loads"),
        ("COMPRESSOR", compressor, "compress"),
        ("COMPRESSOR", compressor, "decompress"),
    ],
)
def test_result_of_a_wrong_type__is_refused_by_name(
    make_cache: OpenCache, option: str, make: Callable[..., type], method: str, sign: bool, kind: str
) -> None:
    if (method, kind) == ("loads", "a plain object"):
        return  # which may be the value
    good = make_cache("native", OPTIONS={option: make(), "SIGN": sign})
    cache = make_cache("native", OPTIONS={option: make(**{method: WRONG[kind]}), "SIGN": sign})
    good.set("k", "value")
    with pytest.raises(TypeError, match=rf'OPTIONS\["{option}"\]\.{method} returned an? '):
        cache.get("k") if method in ("loads", "decompress") else cache.set("k", "value")
    assert good.get("k") == "value"


@kinds
@pytest.mark.parametrize("method", ["encode", "decode"])
def test_codec_of_a_queue__is_refused_by_name(upstash: Any, method: str, kind: str) -> None:
    if (method, kind) == ("decode", "a plain object"):
        return
    wrong: Any = JSONCodec()
    setattr(wrong, method, WRONG[kind])
    good, queue = Queue("q", alias="native"), Queue("q", alias="native", codec=wrong)
    if method == "encode":
        with pytest.raises(TypeError, match=r"codec\.encode returned an? "):
            queue.enqueue({"a": 1})
        assert good.stats().ready == 0
        return
    good.enqueue({"a": 1})
    (job,) = queue.reserve(wait=0)
    with pytest.raises(TypeError, match=r"codec\.decode returned an? "):
        _ = job.payload
