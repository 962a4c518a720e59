"""What a failing route must neither show nor leave waiting."""

from __future__ import annotations

import asyncio
import threading
import traceback

import pytest

from django_upstash.connections import Connection
from django_upstash.dev_server import LocalServer
from django_upstash.exceptions import AuthenticationError, ConnectionError, PoolTimeoutError, ProtocolError
from django_upstash.operations import command
from django_upstash.settings.conf import make_settings
from django_upstash.wire.batching import PROBATION
from django_upstash.wire.http import ResponseReader
from tests.servers import Server, start_valkey


def shown_with_frames(error: BaseException) -> str:
    """Return the traceback with every frame's variables, but for the test's own frame."""
    assert error.__traceback__ is not None
    error = error.with_traceback(error.__traceback__.tb_next)
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


def test_refused_password__is_in_no_frame_and_the_error_is_not_its_own_cause() -> None:
    with start_valkey(requirepass="right") as server:
        url = server.url.replace("unix://", "unix://:hush-hush@")
        connection = Connection(make_settings("native", {"URL": url}))
        with pytest.raises(AuthenticationError) as caught:
            connection.ping()
        connection.close()
    assert caught.value.__cause__ is not caught.value
    assert "hush-hush" not in shown_with_frames(caught.value)


def test_refused_token__is_in_no_frame(local_server: LocalServer) -> None:
    connection = Connection(make_settings("rest", {"URL": local_server.url, "TOKEN": "hush-hush"}))
    with pytest.raises(AuthenticationError) as caught:
        connection.ping()
    connection.close()
    assert "hush-hush" not in shown_with_frames(caught.value)


def test_switching_protocols__is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        ResponseReader().feed(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")


def test_no_thread_to_send_in__fails_the_caller(valkey: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = Connection(make_settings("native", {"URL": valkey.url}))

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")  # as Python does where the system has none left

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(ConnectionError, match="No thread"):
        asyncio.run(asyncio.wait_for(connection.arun(command("PING")), 5))
    assert connection.availability.is_up
    connection.close()


def test_batches_waiting_for_a_thread__wait_no_longer_than_for_a_connection() -> None:
    options = {"TIMEOUT": 0.2, "POOL_TIMEOUT": 0.05, "MAX_CONNECTIONS": 1}

    async def one_after_the_other(connection: Connection) -> list[object]:
        waiting: list[asyncio.Future[object]] = []
        for _ in range(4):
            waiting.append(asyncio.ensure_future(connection.arun(command("PING"))))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return list(await asyncio.gather(*waiting, return_exceptions=True))

    with start_valkey() as server:
        connection = Connection(make_settings("native", {"URL": server.url, **options}))
        connection.ping()
        server.pause()
        outcomes = asyncio.run(one_after_the_other(connection))
        connection.close()
    assert [type(outcome) for outcome in outcomes[1:]] == [PoolTimeoutError] * 3


@pytest.mark.parametrize("route", ["native", "rest"])
def test_cancelled_carrier__does_not_leave_its_caller_waiting(connection: Connection) -> None:
    async def cancel_the_carrier() -> None:
        for _ in range(PROBATION):
            await connection.arun(command("PING"))
        caller = asyncio.ensure_future(connection.arun(command("PING")))
        others = set[asyncio.Task[object]]()
        while not others:
            await asyncio.sleep(0)
            others = asyncio.all_tasks() - {caller, asyncio.current_task()}
        for task in others:
            task.cancel()
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(caller, 5)
        assert await asyncio.wait_for(connection.arun(command("PING")), 5) == b"PONG"

    asyncio.run(cancel_the_carrier())
