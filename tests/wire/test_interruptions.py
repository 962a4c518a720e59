"""Exceptions that signals raise, at any line of a pool or an exchange: no place is lost, no reply goes astray."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any

import pytest

from django_upstash import exceptions
from django_upstash.connections import Connection
from django_upstash.operations import command
from django_upstash.settings.conf import make_settings
from django_upstash.wire import http, native, pool, retrying, sockets

# What strikes in a finalizer, or between a socket's making and its owner's, is told to nobody.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
SIZE = 2
FILES = {module.__file__ for module in (http, native, pool, retrying, sockets)}


class SoftTimeLimit(BaseException):
    """What Celery and RQ raise from a signal handler."""


@pytest.fixture(params=["native", "rest"])
def connection(request: pytest.FixtureRequest, upstash: dict[str, dict[str, Any]]) -> Iterator[Connection]:
    entry = {**upstash[request.param], "MAX_CONNECTIONS": SIZE, "POOL_TIMEOUT": 5.0}
    connection = Connection(make_settings("x", entry))
    connection.run(command("SET", "n", "0"))
    yield connection
    connection.close()


def lines_of(act: Callable[[], object]) -> list[tuple[CodeType, int]]:
    """Return the lines of the package's wires that a call passes, in order, each time it does."""
    passed: list[tuple[CodeType, int]] = []

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_filename not in FILES:
            return None
        if event == "line":
            passed.append((frame.f_code, frame.f_lineno))
        return trace

    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(None)
    return passed


def interrupt(act: Callable[[], object], number: int) -> None:
    """Call, and raise at the line that is passed as the ``number``-th."""
    left = number

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in FILES:
            return None
        if event == "line":
            if left == 0:
                left = -1
                sys.settrace(None)
                raise SoftTimeLimit
            left -= 1
        return trace

    sys.settrace(trace)
    try:
        act()
    except SoftTimeLimit:
        pass
    finally:
        sys.settrace(None)


def in_use_at_once(connection: Connection) -> int:
    """Return how many wires can be had at the same time."""
    wires = connection.route._pool  # type: ignore[attr-defined]
    taken = [wires.acquire() for _ in range(SIZE)]
    for wire in taken:
        wires.release(wire)
    return len(taken)


def test_pool__loses_no_place_wherever_an_exception_strikes(connection: Connection) -> None:
    def ask() -> None:
        connection.run(command("INCR", "n"))

    for number in range(len(lines_of(ask))):
        interrupt(ask, number)
        gc.collect(1)
        assert in_use_at_once(connection) == SIZE
        # And what is read is the answer to what was asked.
        assert connection.run(command("ECHO", f"x{number}")) == f"x{number}".encode()


def test_pool__loses_no_place_where_opening_is_interrupted(connection: Connection) -> None:
    def open_one() -> None:
        connection.route.close()
        connection.close()
        connection.run(command("INCR", "n"))

    for number in range(0, len(lines_of(open_one)), 3):
        interrupt(open_one, number)
        gc.collect(1)
        assert connection.run(command("ECHO", f"x{number}")) == f"x{number}".encode()
        assert in_use_at_once(connection) == SIZE


def test_pool__loses_no_place_where_waiting_is_interrupted(connection: Connection) -> None:
    wires: Any = connection.route._pool  # type: ignore[attr-defined]
    taken = [wires.acquire() for _ in range(SIZE)]
    for _ in range(20):
        began = threading.Event()
        ended: list[BaseException | None] = []

        def wait(began: threading.Event = began, ended: list[BaseException | None] = ended) -> None:
            began.set()
            try:
                wires.release(wires.acquire())
            except SoftTimeLimit as error:
                ended.append(error)
            else:
                ended.append(None)

        thread = threading.Thread(target=wait)
        thread.start()
        while not wires._line and not ended:
            time.sleep(0.001)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SoftTimeLimit))
        wires.release(taken.pop())
        thread.join(20)
        assert not thread.is_alive()
        gc.collect(1)
        taken.append(wires.acquire())
    for wire in taken:
        wires.release(wire)
    assert in_use_at_once(connection) == SIZE


def test_pool__a_place_in_the_traceback_of_a_failed_opening_is_free(upstash: dict[str, dict[str, Any]]) -> None:
    entry = {**upstash["native"], "URL": "redis://127.0.0.1:1", "MAX_CONNECTIONS": 1, "RETRIES": 0, "POOL_TIMEOUT": 0.1}
    connection = Connection(make_settings("x", entry))
    kept = []
    for _ in range(3):
        with pytest.raises(exceptions.ConnectionError, match="refused") as caught:
            connection.ping()
        kept.append(caught.value)
    assert len(kept) == 3
