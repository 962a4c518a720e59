from __future__ import annotations

import pytest

from django_upstash.pubsub import Gap, Message
from django_upstash.pubsub.buffer import Buffer, EndOfMessages


def message(text: str) -> Message:
    return Message("news", text.encode())


def taken(buffer: Buffer) -> list[Message | Gap]:
    return list(iter(buffer.take, None))


def test_buffer__keeps_the_order() -> None:
    buffer = Buffer(10, 1000)
    items: list[Message | Gap] = [message("1"), Gap(seconds=1.0), message("2")]
    buffer.put(items)
    assert taken(buffer) == items


def test_overflow__tells_of_what_gave_way_in_its_place() -> None:
    buffer = Buffer(2, 1000)
    buffer.put([message("1"), message("2"), message("3")])
    buffer.put([message("4")])
    assert taken(buffer) == [Gap(dropped=2), message("3"), message("4")]
    buffer.put([message("5"), message("6"), message("7")])
    assert taken(buffer) == [Gap(dropped=1), message("6"), message("7")]


def test_overflow__loses_no_gap() -> None:
    buffer = Buffer(1, 1000)
    buffer.put([message("1"), Gap(seconds=2.0), message("2"), Gap(seconds=3.0), message("3"), Gap(seconds=4.0)])
    assert taken(buffer) == [Gap(seconds=2.0, dropped=2), Gap(seconds=3.0), message("3"), Gap(seconds=4.0)]


def test_overflow__of_bytes() -> None:
    buffer = Buffer(10, 10)
    buffer.put([message("x" * 6), message("y" * 6)])
    assert taken(buffer) == [Gap(dropped=1), message("y" * 6)]
    buffer.put([message("x" * 11), message("y")])  # one that never fits
    assert taken(buffer) == [Gap(dropped=1), message("y")]


def test_wait__is_over_when_there_is_something() -> None:
    buffer = Buffer(10, 1000)
    waiter = buffer.wait()
    assert not waiter.done()
    buffer.put([message("1")])
    assert waiter.done()
    assert buffer.wait().done()
    buffer.take()
    assert not buffer.wait().done()


def test_wait__given_up_is_forgotten() -> None:
    buffer = Buffer(10, 1000)
    for _ in range(100):
        buffer.wait().cancel()
    waiter = buffer.wait()
    assert len(buffer._waiters) <= 2
    buffer.put([message("1")])
    assert waiter.done()


def test_end__comes_after_what_waits() -> None:
    buffer = Buffer(10, 1000)
    waiter = buffer.wait()
    buffer.put([message("1")])
    buffer.end(KeyError("first"))
    buffer.end(ValueError("second"))
    assert waiter.done()
    assert buffer.take() == message("1")
    with pytest.raises(KeyError):
        buffer.take()
    assert buffer.wait().done()


def test_end__without_an_error() -> None:
    buffer = Buffer(10, 1000)
    buffer.put([message("1")])
    buffer.end()
    buffer.clear()
    with pytest.raises(EndOfMessages):
        buffer.take()


def test_end__takes_in_no_more() -> None:
    buffer = Buffer(10, 1000)
    buffer.end()
    buffer.put([message("1")])
    with pytest.raises(EndOfMessages):
        buffer.take()


def test_gaps__in_a_row_are_one() -> None:
    buffer = Buffer(10, 1000)
    buffer.put([message("1"), Gap(seconds=1.0)])
    buffer.put([Gap(seconds=2.0)])
    buffer.put([message("2")])
    assert taken(buffer) == [message("1"), Gap(seconds=3.0), message("2")]
