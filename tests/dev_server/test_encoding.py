from __future__ import annotations

from typing import Any

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_upstash.dev_server.encoding import (
    RequestError,
    StatusReply,
    command_in_path,
    frames,
    nested_frames,
    query_parameters,
    to_json,
    to_resp2,
)

replies = st.recursive(
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=20) | st.just(StatusReply(b"OK")),
    lambda children: st.lists(children, max_size=4),
    max_leaves=15,
)


@given(st.lists(replies, max_size=5))
def test_resp2__reads_back_and_splits_into_its_replies(given: list[Any]) -> None:
    encoded = [to_resp2(reply) for reply in given]
    reader = hiredis.Reader()
    reader.feed(b"".join(encoded))

    assert [reader.gets() for _ in given] == given
    assert frames(b"".join(encoded)) == encoded
    assert nested_frames(to_resp2(given)) == encoded


def test_resp2__an_error_is_one_line() -> None:
    assert to_resp2(RequestError("ERR one\r\ntwo\ud800")) == b"-ERR one two?\r\n"


@pytest.mark.parametrize("frame", [b"*-1\r\n", b"$-1\r\n", b"-ERR no\r\n", b":-5\r\n", b"*1\r\n*1\r\n*-1\r\n"])
def test_frames__of_every_kind(frame: bytes) -> None:
    assert frames(frame + b"+OK\r\n") == [frame, b"+OK\r\n"]


def test_json__a_lone_surrogate_breaks_nothing() -> None:
    assert to_json({"error": "\ud800"}) == b'{"error":"?"}'


def test_path__parts_may_be_empty() -> None:
    assert command_in_path(b"/set/key/", b"", []) == [b"set", b"key", b""]
    assert command_in_path(b"/", b"", []) == [b""]


def test_query__keeps_order_and_repetition() -> None:
    assert list(query_parameters(b"b=1&a&b=%322+3&&=x")) == [(b"b", b"1"), (b"a", b""), (b"b", b"22 3"), (b"", b"x")]
